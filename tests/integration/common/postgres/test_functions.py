"""Functions follow the migrations: each is applied when it changes, all after a migration, never an older set."""

from pathlib import Path

import asyncpg
import pytest

from libs.common.postgres.database import connect_pool
from libs.common.postgres.migrate import MigrationError, check, migrate
from tests.integration.common.postgres.sample import fetch, write_functions


async def replaced(url: str) -> list[str]:
    return list((await migrate(url, schema="sample", package="sample")).functions)


async def checked(url: str) -> None:
    async with await connect_pool(url, application_name="test", max_size=1) as pool:
        await check(pool, schema="sample", package="sample")


async def test_functions_are_applied_when_they_change_and_only_these(package: Path, empty_database: str) -> None:
    # The first one calls one that comes after it.
    write_functions(package, 1, a="SELECT sample.b()", b="one")
    assert await replaced(empty_database) == ["sample.a", "sample.b"]
    assert await fetch(empty_database, "SELECT sample.a()") == [("one",)]
    assert await replaced(empty_database) == []
    write_functions(package, 2, a="SELECT sample.b()", b="two")
    assert await replaced(empty_database) == ["sample.b"]
    assert await fetch(empty_database, "SELECT sample.a()") == [("two",)]
    assert await fetch(empty_database, "SELECT name, set_version, schema_version FROM sample.functions ORDER BY 1") == [
        ("sample.a", 2, 2),
        ("sample.b", 2, 2),
    ]
    write_functions(package, 3, b="two")
    assert await replaced(empty_database) == []
    assert await fetch(empty_database, "SELECT name, set_version FROM sample.functions") == [("sample.b", 3)]


async def test_all_functions_are_applied_again_after_a_migration(package: Path, empty_database: str) -> None:
    write_functions(package, 1, a="one", b="one")
    (package / "0010_tenth.sql").write_text("INSERT INTO sample.first VALUES (10);")
    await replaced(empty_database)
    # One of a lower number that came later counts as well.
    (package / "0003_third.sql").write_text("DROP FUNCTION sample.b();")
    assert await replaced(empty_database) == ["sample.a", "sample.b"]
    assert await fetch(empty_database, "SELECT sample.b()") == [("one",)]


async def test_an_older_set_of_functions_is_never_applied_over_a_newer(
    package: Path, empty_database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_functions(package, 2, a="new")
    await replaced(empty_database)
    write_functions(package, 1, a="old", c="old")
    assert await replaced(empty_database) == []
    assert "migrate.functions_newer" in capsys.readouterr().out
    (package / "0003_third.sql").write_text("INSERT INTO sample.first VALUES (3);")
    assert await replaced(empty_database) == []
    assert await fetch(empty_database, "SELECT sample.a(), to_regproc('sample.c')") == [("new", None)]
    # Who brings the newer set next applies it after that migration.
    write_functions(package, 2, a="new")
    assert await replaced(empty_database) == ["sample.a"]


async def test_a_function_that_fails_leaves_all_as_they_were(package: Path, empty_database: str) -> None:
    write_functions(package, 1, a="one", b="one")
    await replaced(empty_database)
    write_functions(package, 2, a="two", b="two")
    (package.parent / "functions" / "sample.b.sql").write_text("CREATE OR REPLACE FUNCTION sample.b() RETURNS int;")
    with pytest.raises(asyncpg.PostgresError):
        await replaced(empty_database)
    assert await fetch(empty_database, "SELECT sample.a(), sample.b()") == [("one", "one")]
    assert await fetch(empty_database, "SELECT DISTINCT set_version FROM sample.functions") == [(1,)]


async def test_a_service_that_starts_checks_and_applies_nothing(package: Path, empty_database: str) -> None:
    write_functions(package, 1, a="one")
    with pytest.raises(
        MigrationError, match=r"lacks 0001_first\.sql, 0002_second\.sql, sample\.a: run `python -m sample"
    ):
        await checked(empty_database)
    await replaced(empty_database)
    await checked(empty_database)
    write_functions(package, 2, a="two")
    with pytest.raises(MigrationError, match=r"lacks sample\.a: run"):
        await checked(empty_database)
    assert await fetch(empty_database, "SELECT sample.a()") == [("one",)]
    await replaced(empty_database)
    await checked(empty_database)
    # An older build finds what it needs in a newer database.
    write_functions(package, 1, a="one")
    (package / "0002_second.sql").unlink()
    await checked(empty_database)


async def test_a_table_that_stays_locked_is_left_and_so_are_the_functions(package: Path, empty_database: str) -> None:
    await replaced(empty_database)
    write_functions(package, 1, a="one")
    (package / "0003_third.sql").write_text("ALTER TABLE sample.first ADD COLUMN more int;")
    connection = await asyncpg.connect(empty_database)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM sample.first")
            with pytest.raises(MigrationError, match="a table that is to be changed was in use for 2 s"):
                await replaced(empty_database)
    finally:
        await connection.close()
    assert await fetch(empty_database, "SELECT count(*) FROM sample.functions") == [(0,)]
    assert await replaced(empty_database) == ["sample.a"]
