"""Two checkouts run their benchmark in turns; what a run measured is what it has just written down."""

from pathlib import Path

import pytest

from bench.compare import CompareError
from bench.compare.figures import Name
from bench.compare.turns import Side, take
from tests.integration.bench.compare.repository import Repository

CPU = Name("CPU of a click", "ms")


@pytest.fixture
def sides(tmp_path: Path, repository: Repository, runs: Path) -> tuple[Side, Side]:
    """A baseline that costs 20 ms beside the present code, which costs 10."""
    assert runs.exists()
    there = Repository(tmp_path / "there")
    there.costs(20.0)
    there.bootstrap()
    return Side("v1", there.root), Side("this code", repository.root)


def test_each_side_runs_its_own_benchmark_and_who_is_first_changes(sides: tuple[Side, Side], runs: Path) -> None:
    baseline, present = sides
    said: list[str] = []
    firsts: list[int] = []
    take(
        baseline, present, "click", ["cost", "held"],
        turns=3, say=said.append, after_first=lambda: firsts.append(len(baseline.runs) + len(present.runs)),
    )  # fmt: skip
    ran = [line.split(" ", 1) for line in runs.read_text().splitlines()]
    assert [where for where, _ in ran] == ["there", "here", "here", "there", "there", "here"]
    assert {arguments for _, arguments in ran} == {"cost held"}
    assert [run[CPU] for run in baseline.runs] == [20.0] * 3
    assert [run[CPU] for run in present.runs] == [10.0] * 3
    assert firsts == [2], "once, when each side has run"
    assert len(said) == 6
    assert said[0].startswith("turn 1 of 3: v1 took ")


def test_a_limit_that_is_missed_costs_no_figures(repository: Repository, runs: Path) -> None:
    assert runs.exists()
    repository.costs(7.0, exit_code=1)
    side = Side("this code", repository.root)
    side.run("click", [])
    assert side.runs == [{CPU: 7.0, ("CPU of a click, ratio", ""): 2.0}]


def test_a_run_that_measures_nothing_is_told_with_its_last_words(repository: Repository, runs: Path) -> None:
    assert runs.exists()
    side = Side("this code", repository.root)
    side.run("click", [])
    repository.measures(exit_code=4)
    # What the run before has left is not taken for its own.
    with pytest.raises(CompareError, match=r"'bench click cost' of this code ended with 4(.|\n)*rows: \[\]"):
        side.run("click", ["cost"])
    assert len(side.runs) == 1


def test_a_benchmark_that_a_revision_does_not_have_is_told_so(repository: Repository) -> None:
    with pytest.raises(CompareError, match=r"ended with 1 and left no results(.|\n)*No module named bench.pool"):
        Side("v1", repository.root).run("pool", [])
