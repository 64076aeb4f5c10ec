"""Driver errors are translated where the driver is called; a statement that is wrong is not taken for an outage."""

import asyncpg
import pytest

from libs.common.errors import ClicktraceError, Code
from libs.common.postgres.database import connect_pool
from services.gateway.db.session import affected_rows, statement


async def test_a_connection_that_breaks_is_an_outage_and_the_next_one_works(database: str) -> None:
    async with await connect_pool(database, application_name="test", max_size=2) as pool:
        with pytest.raises(ClicktraceError) as caught:
            async with statement(pool, "test", "clicks.offers") as connection:
                await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        assert (caught.value.code, caught.value.reason) == (Code.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        assert caught.value.retry_after == 1.0
        assert "127.0.0.1" not in caught.value.message
        async with statement(pool, "test", "clicks.offers") as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_a_pool_that_is_closed_is_an_outage(database: str) -> None:
    pool = await connect_pool(database, application_name="test", max_size=2)
    await pool.close()
    with pytest.raises(ClicktraceError, match="DATABASE_UNAVAILABLE"):
        async with statement(pool, "test", "clicks.offers"):
            pytest.fail("a closed pool has no connections")


async def test_a_server_that_takes_no_writes_any_more_is_an_outage_and_loses_its_connection(database: str) -> None:
    async with await connect_pool(database, application_name="test", max_size=1) as pool:
        before = await pool.fetchval("SELECT pg_backend_pid()")
        with pytest.raises(ClicktraceError, match="DATABASE_UNAVAILABLE"):
            async with statement(pool, "test", "clicks.offers") as connection:
                await connection.execute("SET TRANSACTION READ ONLY; DELETE FROM clicks.offers")
        assert await pool.fetchval("SELECT pg_backend_pid()") != before


async def test_the_errors_of_a_statement_pass(database: str) -> None:
    async with await connect_pool(database, application_name="test", max_size=2) as pool:
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with statement(pool, "test", "clicks.offers") as connection:
                await connection.execute("SELECT 1 / 0")


async def test_a_command_tells_how_many_rows_it_touched(database: str) -> None:
    async with await connect_pool(database, application_name="test", max_size=2) as pool:
        await pool.execute("""INSERT INTO clicks.offers (name, document) VALUES ('a', '{}'), ('b', '{}')""")
        assert affected_rows(await pool.execute("DELETE FROM clicks.offers")) == 2
        assert affected_rows(await pool.execute("DELETE FROM clicks.offers")) == 0
