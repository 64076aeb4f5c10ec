"""The named statements of the pool manager, and the ways to run them.

Statements stand in queries.sql, and what is decided under a lock in the files of functions/.
"""

from collections.abc import Callable
from typing import TypeAlias

import asyncpg

from libs.common.errors import ClicktraceError
from libs.common.postgres import database, sql
from libs.common.postgres.database import Pool
from libs.common.postgres.errors import FAILURES, translated
from libs.common.postgres.lending import lend
from libs.common.process import logs

log = logs.get(__name__)

QUERIES = sql.load(__package__)

# After this many seconds without an answer the connection is abandoned, so that callers get an error and another
# connection is tried.
_STATEMENT_SECONDS = 4.0
_CONNECT_SECONDS = 3.0
# Provisioning 10,000 rows or counting a million takes longer than a lease.
_ADMIN_SECONDS = 30.0

Row: TypeAlias = asyncpg.Record


def statement(name: str) -> str:
    """Returns a name of queries.sql; for module constants, so that a missing statement fails at import."""
    QUERIES[name]
    return name


_AUDIT = statement("audit")


class Session:
    """One connection kept for one kind of statement, so that no lease waits for a connection behind what operators ask.

    Not for use by two at once.
    """

    def __init__(self, url: str) -> None:
        """Connects at the first statement, and again whenever the connection is lost."""
        self._url = url
        self._connection: asyncpg.Connection[Row] | None = None

    async def fetch(self, name: str, *args: object, repeatable: bool = True) -> list[Row]:
        """Runs a statement of queries.sql; if it is repeatable, once more if the connection turns out to be lost.

        What was lost may be the answer alone, so a statement that is repeated must be one that does no harm twice.
        Raises UNAVAILABLE/DATABASE_UNAVAILABLE when there is no answer.
        """
        with database.span(name):
            again = repeatable and self._connection is not None
            try:
                return await self._attempt(name, args)
            except ClicktraceError as error:
                if not again or isinstance(error.__cause__, TimeoutError):
                    raise
            return await self._attempt(name, args)

    def close(self) -> None:
        """Ends the connection."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.terminate()

    async def _attempt(self, name: str, args: tuple[object, ...]) -> list[Row]:
        try:
            if self._connection is None:
                self._connection = await database.connect(
                    self._url, timeout=_CONNECT_SECONDS, application_name=f"pool_manager-{name}"
                )
            return await self._connection.fetch(QUERIES[name], *args, timeout=_STATEMENT_SECONDS)
        except FAILURES as error:
            unavailable = translated(error)
            log.warning("database.unavailable", statement=name, error=type(error).__name__)
            # The state of this connection is in doubt, and the server is not to be asked about it.
            self.close()
            raise unavailable from error


async def fetch(pool: Pool, name: str, *args: object) -> list[Row]:
    """Runs a statement of queries.sql once, on any connection of the pool; for what operators ask.

    Raises UNAVAILABLE/DATABASE_UNAVAILABLE when there is no answer.
    """
    async with lend(pool, name) as connection:
        return await connection.fetch(QUERIES[name], *args, timeout=_ADMIN_SECONDS)


async def change(pool: Pool, name: str, *args: object, record: Callable[[Row], tuple[object, ...] | None]) -> Row:
    """Runs a statement of queries.sql that changes something, and records what it did, both or neither.

    `record` returns the arguments of the statement `audit`; None if there is nothing to record.
    """
    async with lend(pool, name) as connection, connection.transaction():
        row = await connection.fetchrow(QUERIES[name], *args, timeout=_ADMIN_SECONDS)
        if row is None:
            raise AssertionError(f"{name} returns one row")
        if (values := record(row)) is not None:
            await connection.execute(QUERIES[_AUDIT], *values, timeout=_ADMIN_SECONDS)
        return row
