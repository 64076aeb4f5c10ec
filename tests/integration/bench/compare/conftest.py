"""A small repository with two revisions, and who ran which benchmark."""

from pathlib import Path

import pytest

from tests.integration.bench.compare.repository import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Makes a repository with one commit, in which a click costs 10 ms."""
    made = Repository(tmp_path / "here")
    made.costs(10.0)
    made.commit("First")
    made.bootstrap()
    return made


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Notes each run of a benchmark in a line: its checkout's directory, and its arguments."""
    path = tmp_path / "runs"
    path.touch()
    monkeypatch.setenv("RUNS", str(path))
    return path
