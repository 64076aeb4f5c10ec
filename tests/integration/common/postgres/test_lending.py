"""Driver errors are translated where the driver is called; a statement that is wrong is not taken for an outage."""

from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from libs.common.errors import ClicktraceError, Code
from libs.common.postgres.database import connect_pool
from libs.common.postgres.lending import lend


async def test_a_connection_that_breaks_is_an_outage_and_the_next_one_works(database: str) -> None:
    async with await connect_pool(database, application_name="test", max_size=2) as pool:
        with pytest.raises(ClicktraceError) as caught:
            async with lend(pool, "test", table="clicks.offers") as connection:
                await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        assert (caught.value.code, caught.value.reason) == (Code.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        assert caught.value.retry_after == 1.0
        assert "127.0.0.1" not in caught.value.message
        async with lend(pool, "test", table="clicks.offers") as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_a_pool_that_is_closed_is_an_outage(database: str) -> None:
    pool = await connect_pool(database, application_name="test", max_size=2)
    await pool.close()
    with pytest.raises(ClicktraceError, match="DATABASE_UNAVAILABLE"):
        async with lend(pool, "test", table="clicks.offers"):
            pytest.fail("a closed pool has no connections")


async def test_a_server_that_takes_no_writes_any_more_is_an_outage_and_loses_its_connection(database: str) -> None:
    async with await connect_pool(database, application_name="test", max_size=1) as pool:
        before = await pool.fetchval("SELECT pg_backend_pid()")
        with pytest.raises(ClicktraceError, match="DATABASE_UNAVAILABLE"):
            async with lend(pool, "test", table="clicks.offers") as connection:
                await connection.execute("SET TRANSACTION READ ONLY; DELETE FROM clicks.offers")
        assert await pool.fetchval("SELECT pg_backend_pid()") != before


async def test_the_errors_of_a_statement_pass(database: str) -> None:
    async with await connect_pool(database, application_name="test", max_size=2) as pool:
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with lend(pool, "test", table="clicks.offers") as connection:
                await connection.execute("SELECT 1 / 0")


async def test_who_does_not_get_a_lock_is_to_try_again(database: str) -> None:
    async with (
        await connect_pool(database, application_name="test", max_size=2) as pool,
        lend(pool, "holder") as holder,
        holder.transaction(),
    ):
        await holder.execute("LOCK TABLE clicks.offers IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(ClicktraceError, match="DATABASE_UNAVAILABLE"):
            async with lend(pool, "waiter") as waiter, waiter.transaction():
                await waiter.execute("LOCK TABLE clicks.offers NOWAIT")


async def test_who_cannot_connect_is_to_try_again_whatever_the_reason(database: str) -> None:
    """A password that was changed a moment ago is no fault of the statement's."""
    parts = urlsplit(database)
    wrong = urlunsplit(parts._replace(netloc=f"{parts.username}:old@{parts.hostname}:{parts.port}"))
    async with await connect_pool(wrong, application_name="test", min_size=0, max_size=1) as pool:
        with pytest.raises(ClicktraceError, match="InvalidPasswordError") as caught:
            async with lend(pool, "test"):
                pytest.fail("the password is wrong")
        assert caught.value.code is Code.UNAVAILABLE
