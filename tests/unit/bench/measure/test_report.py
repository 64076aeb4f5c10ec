"""A report is printed, written down, and says whether every limit was kept."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.measure import report
from bench.measure.report import Row, at_least, at_most, publish


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keeps what the tests write out of bench/results."""
    monkeypatch.setattr(report, "_RESULTS", tmp_path / "results")
    return tmp_path / "results"


@pytest.mark.parametrize(
    ("row", "kept"),
    [
        (at_most("wait", 1.0, 1.0), True), (at_most("wait", 1.01, 1.0), False),
        (at_least("rate", 1.0, 1.0), True), (at_least("rate", 0.99, 1.0), False),
        (Row("cost", 5.0), True),
    ],
)  # fmt: skip
def test_it_passes_when_every_limit_is_kept(row: Row, kept: bool) -> None:
    assert publish("x", [Row("other", 0.0), row]) is kept


def test_lines_are_printed_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    def rows() -> Iterator[Row]:
        yield at_most("wait", 1234.5, 1000.0, "ms")
        assert capsys.readouterr().out.split() == ["wait", "1,234.500", "ms", "<=", "1000", "MISSED"]
        yield at_least("rate", 2.0, 1.0, "/s")

    publish("x", rows())
    assert capsys.readouterr().out.split() == ["rate", "2.000", "/s", ">=", "1", "ok"]


def test_what_other_revisions_read_is_written_down(results: Path) -> None:
    publish("x", [at_most("  wait", 3.0, 2.0, "ms")])
    # The names of the keys are what a revision of any age knows.
    assert json.loads((results / "x.json").read_text()) == [
        {"name": "  wait", "value": 3.0, "unit": "ms", "limit": "<= 2", "passed": False}
    ]


def test_a_smoke_run_is_held_to_no_limit_and_leaves_real_figures_alone(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("x", [Row("cost", 1.0)])
    assert publish("x", [at_most("wait", 3.0, 2.0, "ms")], smoke=True)
    assert "MISSED" not in capsys.readouterr().out
    assert json.loads((results / "x.json").read_text())[0]["name"] == "cost"
    assert json.loads((results / "x-smoke.json").read_text())[0]["passed"] is None
