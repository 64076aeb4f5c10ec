"""Migrations are applied once, in order, whole or not at all, by any number of replicas at once."""

import asyncio
import importlib
import sys
from pathlib import Path

import asyncpg
import pytest

from libs.common.postgres.migrate import MigrationError, migrate, read_migrations


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the directory of a package `sample_migrations`, with two files in it."""
    directory = tmp_path / "sample_migrations"
    directory.mkdir()
    (directory / "__init__.py").touch()
    (directory / "0001_first.sql").write_text("CREATE TABLE sample.first (id int);")
    (directory / "0002_second.sql").write_text("CREATE TABLE sample.second (); INSERT INTO sample.first VALUES (1);")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sample_migrations", raising=False)
    importlib.invalidate_caches()
    return directory


async def run(url: str) -> list[str]:
    return list(await migrate(url, schema="sample", package="sample_migrations"))


async def fetch(url: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()


async def test_each_file_is_applied_once(package: Path, empty_database: str) -> None:
    assert await run(empty_database) == ["0001_first.sql", "0002_second.sql"]
    assert await run(empty_database) == []
    (package / "0003_third.sql").write_text("INSERT INTO sample.first VALUES (2);")
    assert await run(empty_database) == ["0003_third.sql"]
    assert [row["id"] for row in await fetch(empty_database, "SELECT id FROM sample.first ORDER BY id")] == [1, 2]


@pytest.mark.usefixtures("package")
async def test_replicas_that_start_together_apply_each_file_once(empty_database: str) -> None:
    done = await asyncio.gather(*(run(empty_database) for _ in range(5)))
    assert sorted(name for names in done for name in names) == ["0001_first.sql", "0002_second.sql"]


async def test_a_file_that_fails_leaves_nothing_behind(package: Path, empty_database: str) -> None:
    (package / "0002_second.sql").write_text("CREATE TABLE sample.second (id int); SELECT 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await run(empty_database)
    tables = await fetch(empty_database, "SELECT tablename FROM pg_tables WHERE schemaname = 'sample' ORDER BY 1")
    assert [row["tablename"] for row in tables] == ["first", "migrations"]


async def test_a_file_that_changed_after_it_was_applied_is_refused(package: Path, empty_database: str) -> None:
    await run(empty_database)
    (package / "0001_first.sql").write_text("CREATE TABLE sample.other (id int);")
    with pytest.raises(MigrationError, match=r"0001_first\.sql was changed after it was applied"):
        await run(empty_database)


async def test_a_number_that_was_left_free_can_be_used_later(package: Path, empty_database: str) -> None:
    (package / "0010_tenth.sql").write_text("INSERT INTO sample.first VALUES (10);")
    await run(empty_database)
    (package / "0003_third.sql").write_text("INSERT INTO sample.first VALUES (3);")
    assert await run(empty_database) == ["0003_third.sql"]


async def test_an_older_replica_leaves_a_newer_database_alone(package: Path, empty_database: str) -> None:
    await run(empty_database)
    (package / "0002_second.sql").unlink()
    assert await run(empty_database) == []


@pytest.mark.parametrize("name", ["0002_twin.sql", "third.sql", "3_third.sql"])
def test_twins_and_files_without_a_number_are_refused(package: Path, name: str) -> None:
    (package / name).write_text("SELECT 1;")
    with pytest.raises(MigrationError):
        read_migrations("sample_migrations")
