"""Statements are found by name, and what is wrong with a file shows when it is read."""

import sys
from pathlib import Path

import pytest

from libs.common.postgres import sql


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "sample_queries"
    directory.mkdir()
    (directory / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sample_queries", raising=False)
    return directory


def test_statements_have_names(package: Path) -> None:
    (package / "queries.sql").write_text(
        "-- About this file.\n\n-- name: one\n-- What it does.\nSELECT 1;\n\n-- name: two\nSELECT 2\n"
    )
    queries = sql.load("sample_queries")
    assert dict(queries) == {"one": "-- What it does.\nSELECT 1", "two": "SELECT 2"}
    with pytest.raises(KeyError, match="no statement 'three'"):
        queries["three"]


@pytest.mark.parametrize("text", ["SELECT 1;", "-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;"])
def test_a_file_without_names_or_with_twins_is_refused(package: Path, text: str) -> None:
    (package / "queries.sql").write_text(text)
    with pytest.raises(ValueError, match="sample_queries"):
        sql.load("sample_queries")
