"""The package `sample`, new for each test."""

import importlib
import sys
from pathlib import Path

import pytest

from tests.integration.common.postgres.sample import FIRST


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the directory `migrations` of a package `sample`, with two files in it."""
    directory = tmp_path / "sample" / "migrations"
    directory.mkdir(parents=True)
    (directory.parent / "__init__.py").touch()
    (directory / "0001_first.sql").write_text(FIRST)
    (directory / "0002_second.sql").write_text("CREATE TABLE sample.second (); INSERT INTO sample.first VALUES (1);")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sample", raising=False)
    importlib.invalidate_caches()
    return directory
