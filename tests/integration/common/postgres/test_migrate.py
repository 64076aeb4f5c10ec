"""Migrations are applied once, in order, whole or not at all, by any number of replicas at once."""

import asyncio
import hashlib
from pathlib import Path

import asyncpg
import pytest

from libs.common.postgres.migrate import MigrationError, migrate, read_migrations
from tests.integration.common.postgres.sample import FIRST, fetch


async def run(url: str) -> list[str]:
    return list((await migrate(url, schema="sample", package="sample")).migrations)


async def test_each_file_is_applied_once(package: Path, empty_database: str) -> None:
    assert await run(empty_database) == ["0001_first.sql", "0002_second.sql"]
    assert await run(empty_database) == []
    (package / "0003_third.sql").write_text("INSERT INTO sample.first VALUES (2);")
    assert await run(empty_database) == ["0003_third.sql"]
    assert await fetch(empty_database, "SELECT id FROM sample.first ORDER BY id") == [(1,), (2,)]


@pytest.mark.usefixtures("package")
async def test_replicas_that_start_together_apply_each_file_once(empty_database: str) -> None:
    done = await asyncio.gather(*(run(empty_database) for _ in range(5)))
    assert sorted(name for names in done for name in names) == ["0001_first.sql", "0002_second.sql"]


async def test_a_file_that_fails_leaves_nothing_behind(package: Path, empty_database: str) -> None:
    (package / "0002_second.sql").write_text("CREATE TABLE sample.second (id int); SELECT 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await run(empty_database)
    tables = await fetch(empty_database, "SELECT tablename FROM pg_tables WHERE schemaname = 'sample' ORDER BY 1")
    assert tables == [("first",), ("functions",), ("migrations",)]


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
        read_migrations("sample")


async def test_a_database_that_was_given_an_earlier_form_of_a_file_has_it(package: Path, empty_database: str) -> None:
    await run(empty_database)
    (package / "0001_first.sql").write_text(f"-- The tables alone.\n{FIRST}")
    (package / "earlier.sha256").write_text(f"{hashlib.sha256(FIRST.encode()).hexdigest()}  0001_first.sql\n")
    assert await run(empty_database) == []
    (package / "0002_second.sql").write_text("CREATE TABLE sample.other ();")
    with pytest.raises(MigrationError, match=r"0002_second\.sql was changed after it was applied"):
        await run(empty_database)


def test_the_number_of_a_file_that_is_no_more_is_not_given_to_another(package: Path) -> None:
    (package / "earlier.sha256").write_text("abc  0003_gone.sql\n")
    assert len(read_migrations("sample")) == 2
    (package / "0003_third.sql").write_text("SELECT 1;")
    with pytest.raises(MigrationError, match=r"0003_third\.sql: databases know this number as 0003_gone\.sql"):
        read_migrations("sample")
