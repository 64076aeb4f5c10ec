"""The command line of the benchmarks: what is measured, what is compared, and what is refused before anything runs."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench import command
from bench.compare import CompareError, report
from bench.compare.figures import Target
from bench.measure import report as measured
from bench.measure.report import Row, at_most
from bench.sizes import FULL, SMOKE, Sizes


def add_parts(parser: ArgumentParser) -> None:
    parser.add_argument("parts", nargs="*")


def bench(*arguments: str, kept: bool = True) -> tuple[int, list[tuple[Namespace, Sizes]]]:
    """Returns the exit code, and what the measurement was called with."""
    calls = []

    def measure(options: Namespace, sizes: Sizes) -> list[Row]:
        calls.append((options, sizes))
        return [at_most("cost", 1.0, 2.0 if kept else 0.5)]

    return command.main("click", "Measures.", measure, add_arguments=add_parts, arguments=arguments), calls


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keeps what the tests measure out of bench/results."""
    monkeypatch.setattr(measured, "_RESULTS", tmp_path)
    # Logs are those of the process, and the other tests want theirs.
    monkeypatch.setattr(command, "quiet", lambda: None)
    return tmp_path


@pytest.fixture
def comparisons(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was to be compared; every target is met."""
    asked: list[dict[str, Any]] = []

    def run(_root: Path, name: str, arguments: Sequence[str], **options: Any) -> bool:
        asked.append({"bench": name, "arguments": arguments, **options})
        return True

    monkeypatch.setattr(report, "run", run)
    return asked


def test_it_measures_in_full_and_writes_the_figures_down(results: Path) -> None:
    code, [(options, sizes)] = bench("cost", "held")
    assert (code, options.parts, sizes) == (0, ["cost", "held"], FULL)
    assert (results / "click.json").exists()


def test_a_limit_that_is_not_kept_fails() -> None:
    assert bench(kept=False)[0] == 1


def test_a_smoke_run_is_small_is_held_to_no_limit_and_is_kept_apart(results: Path) -> None:
    code, [(_, sizes)] = bench("--smoke", kept=False)
    assert (code, sizes) == (0, SMOKE)
    assert [path.name for path in results.iterdir()] == ["click-smoke.json"]


def test_a_baseline_is_compared_and_the_rest_is_for_the_benchmark_of_either_side(
    comparisons: list[dict[str, Any]],
) -> None:
    code, calls = bench(
        "cost", "--baseline", "v1.2.3", "held", "--turns", "7", "--target", "cpu<=1.05", "--target", "a>=2"
    )
    assert (code, calls) == (0, [])
    assert comparisons == [
        {
            "bench": "click",
            "arguments": ["cost", "held"],
            "revision": "v1.2.3",
            "count": 7,
            "targets": [Target("cpu", at_most=True, bound=1.05), Target("a", at_most=False, bound=2.0)],
        }
    ]


def test_five_turns_are_taken_if_nothing_is_said(comparisons: list[dict[str, Any]]) -> None:
    bench("--baseline", "HEAD")
    assert comparisons[0]["count"] == 5


def test_a_target_that_is_missed_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "run", lambda *_arguments, **_options: False)
    assert bench("--baseline", "HEAD")[0] == 1


def test_a_comparison_that_cannot_be_made_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*_arguments: object, **_options: object) -> bool:
        raise CompareError("there is no such commit")

    monkeypatch.setattr(report, "run", run)
    assert bench("--baseline", "nowhere")[0] == 1
    assert capsys.readouterr().err == "make bench-click: there is no such commit\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--baseline", "HEAD", "--turns", "4"], "4 turns tell no spread: take at least 5"),
        (["--baseline", "HEAD", "--target", "cpu"], "'cpu' is no target: write FIGURE<=RATIO"),
        (["--baseline", "HEAD", "--smoke"], "--baseline compares figures, and those of --smoke mean nothing"),
        (["--base", "HEAD"], "unrecognized arguments: --base"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(
    arguments: list[str], message: str, comparisons: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        bench(*arguments)
    assert (ended.value.code, comparisons) == (2, [])
    assert message in capsys.readouterr().err
