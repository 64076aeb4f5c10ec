"""A whole comparison, over a small repository: what it prints, what it writes down, and when it fails."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.compare import CompareError, report
from bench.compare.figures import Comparison, Name, Target
from tests.integration.bench.compare.repository import Repository

CHEAPER = Target("CPU of a click", at_most=True, bound=0.5)
MUCH_CHEAPER = Target("CPU of a click ms", at_most=True, bound=0.4)


@pytest.fixture
def improved(repository: Repository, runs: Path) -> Repository:
    """A release in which a click costs 10 ms, and changes since that make it 5."""
    assert runs.exists()
    repository.git("tag", "v0.1.0")
    repository.costs(5.0)
    return repository


def compare(repository: Repository, *targets: Target, revision: str = "v0.1.0") -> bool:
    return report.run(repository.root, "click", ["cost"], revision=revision, count=5, targets=targets)


def written(repository: Repository) -> dict[str, Any]:
    (path,) = (repository.root / "bench" / "results").glob("click-against-*.json")
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def test_it_prints_medians_ratios_and_spread(improved: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(improved)
    lines = capsys.readouterr().out.splitlines()
    commit = improved.git("rev-parse", "--short=7", "v0.1.0")
    start = f"bench click cost: this code ({commit} with uncommitted changes) and v0.1.0 ({commit}) in 5 turns"
    assert start in lines
    table = [line.split() for line in lines[lines.index("") + 1 :]]
    assert table[:3] == [
        ["v0.1.0", "this", "code", "ratio", "spread"],
        ["CPU", "of", "a", "click", "10.000", "5.000", "ms", "0.500", "1.000..1.000", "lower"],
        ["CPU", "of", "a", "click,", "ratio", "2.000", "2.000", "1.000", "1.000..1.000", "same"],
    ]


def test_every_turn_is_written_down(improved: Repository) -> None:
    compare(improved, CHEAPER)
    document = written(improved)
    commit = improved.git("rev-parse", "HEAD")
    assert document["baseline"] == {"name": "v0.1.0", "commit": commit}
    assert document["present"].endswith("with uncommitted changes")
    assert document["figures"][0] == {
        "title": "CPU of a click", "unit": "ms", "baseline": [10.0] * 5, "present": [5.0] * 5,
        "ratio": 0.5, "spread": [1.0, 1.0],
    }  # fmt: skip
    assert document["targets"] == {str(CHEAPER): True}


def test_targets_are_met_or_missed(improved: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(improved, CHEAPER)
    assert not compare(improved, CHEAPER, MUCH_CHEAPER)
    assert capsys.readouterr().out.splitlines()[-3:-1] == [
        "target CPU of a click <= 0.5: met", "target CPU of a click ms <= 0.4: MISSED",
    ]  # fmt: skip
    assert written(improved)["targets"] == {str(CHEAPER): True, str(MUCH_CHEAPER): False}


def test_a_target_that_names_nothing_ends_it_after_the_first_turn(improved: Repository, runs: Path) -> None:
    with pytest.raises(CompareError, match="'memory' names no figures"):
        compare(improved, Target("memory", at_most=True, bound=1.0))
    assert len(runs.read_text().splitlines()) == 2


def test_figures_that_only_one_side_has_are_named(improved: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    improved.measures(("clicks", 3.0, ""), ("CPU of a visit", 1.0, "ms"))
    improved.commit("Second")
    improved.measures(("clicks", 3.0, ""), ("CPU of a view", 1.0, "ms"))
    assert compare(improved, revision="HEAD")
    lines = capsys.readouterr().out.splitlines()
    assert "only in HEAD: CPU of a visit" in lines
    assert "only in this code: CPU of a view" in lines


def test_revisions_that_measure_nothing_in_common_are_not_compared(improved: Repository, runs: Path) -> None:
    improved.measures(("CPU of a visit", 5.0, "ms"))
    with pytest.raises(CompareError, match=r"v0\.1\.0 measures nothing that this code measures too"):
        compare(improved)
    assert len(runs.read_text().splitlines()) == 2


def test_a_figure_without_a_ratio_has_a_line_all_the_same() -> None:
    failed = Comparison(Name("failed", ""), [0.0, 0.0], [0.0, 1.0])
    assert report.table("234582f", [failed])[1].split() == ["failed", "0.000", "0.500", "-"]


def test_a_long_name_of_a_revision_leaves_the_columns_where_they_are() -> None:
    head, line = report.table("a-branch-with-a-long-name", [Comparison(Name("x", "ms"), [1.0, 1.0], [1.0, 1.0])])
    assert head.index("ratio") + len("ratio") == line.index("1.000", line.index("ms")) + len("1.000")
