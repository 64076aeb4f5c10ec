"""Lends connections of a pool, each for one named statement."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from libs.common.postgres import database
from libs.common.postgres.database import LentConnection, Pool
from libs.common.postgres.errors import FAILURES, translated, unavailable

_ACQUIRE_SECONDS = 5.0


@asynccontextmanager
async def lend(pool: Pool, statement: str, *, table: str = "") -> AsyncIterator[LentConnection]:
    """Lends a connection for one named statement, inside its span; waits up to 5 s for a free one.

    Raises UNAVAILABLE/DATABASE_UNAVAILABLE when the server is gone or does not answer. Errors of the statement itself
    (asyncpg.DataError and its kind) pass unchanged.
    """
    with database.span(statement, table=table):
        try:
            connection = await pool.acquire(timeout=_ACQUIRE_SECONDS)
        except FAILURES as error:
            raise unavailable(error) from error
        try:
            yield connection
        except FAILURES as error:
            if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                # This server is no longer the primary; the next connection looks for the one that is.
                connection.terminate()
            raise translated(error) from error
        finally:
            await pool.release(connection)
