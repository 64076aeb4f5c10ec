"""Lends connections for named statements, and translates what the driver raises."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeAlias

import asyncpg

from libs.common.errors import ClicktraceError, Code
from libs.common.postgres import database, sql

QUERIES = sql.load(__package__)
"""Every statement of the gateway, by name."""

_ACQUIRE_SECONDS = 5.0
# What the driver raises for a broken connection; the last one when it breaks in the middle of a state change.
_BROKEN = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)

# Quoted, because these are generic in the stubs only.
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


class Row(Protocol):
    """A row, read by column name."""

    def __getitem__(self, column: str, /) -> Any:
        """Returns the value of a column."""
        ...

    def get(self, key: str) -> Any:
        """Returns the value of a column; None if the row has no such column."""
        ...


@asynccontextmanager
async def statement(pool: Pool, name: str, table: str) -> AsyncIterator[Connection]:
    """Lends a connection for one named statement, inside its span; waits up to 5 s for a free one.

    Raises UNAVAILABLE/DATABASE_UNAVAILABLE when the server is gone or does not answer. Errors of the statement itself
    (asyncpg.DataError and its kind) pass unchanged.
    """
    with database.span(name, table=table):
        try:
            connection = await pool.acquire(timeout=_ACQUIRE_SECONDS)
        except (*_BROKEN, asyncpg.PostgresError) as error:
            raise _unavailable(error) from error
        try:
            yield connection
        except _BROKEN as error:
            raise _unavailable(error) from error
        except asyncpg.PostgresError as error:
            # 08 connection, 53 resources, 57 operator intervention, 25006 a standby: all pass with time.
            if (error.sqlstate or "")[:2] in ("08", "53", "57") or error.sqlstate == "25006":
                if error.sqlstate == "25006":
                    # This server is no longer the primary; the next connection looks for the one that is.
                    connection.terminate()
                raise _unavailable(error) from error
            raise
        finally:
            await pool.release(connection)


def affected_rows(tag: str) -> int:
    """Returns the number of rows that a command touched, from its command tag such as `DELETE 3`."""
    return int(tag.rpartition(" ")[2])


def _unavailable(error: Exception) -> ClicktraceError:
    """Returns the error for an unusable database, without the driver's message, which may name hosts and users."""
    kind = type(error).__name__
    return ClicktraceError(
        Code.UNAVAILABLE,
        "DATABASE_UNAVAILABLE",
        f"the database cannot be used now ({kind}); try again",
        retry_after=1.0,
    )
