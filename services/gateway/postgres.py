"""The schema `clicks` in PostgreSQL: offers and the click log. Driver errors are translated here."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg

from libs.common import database, sql
from libs.common.errors import ClicktraceError, Code
from services.gateway.model import ClickRecord, Offer
from services.gateway.rows import offer_of, offer_values, record_json, record_of

_queries = sql.load(__package__)
_OFFER_GET = _queries["offer_get"]
_OFFER_LIST = _queries["offer_list"]
_OFFER_INSERT = _queries["offer_insert"]
_CLICKS_WRITE = _queries["clicks_write"]
_CLICK_GET = _queries["click_get"]

# Quoted, because these are generic in the stubs only.
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


def unavailable(error: Exception) -> ClicktraceError:
    """Describes a database that cannot be used now; the driver's words stay out, they may name hosts and users."""
    kind = type(error).__name__
    return ClicktraceError(
        Code.UNAVAILABLE,
        "DATABASE_UNAVAILABLE",
        f"the database cannot be used now ({kind}); try again",
        retry_after=1.0,
    )


@asynccontextmanager
async def statement(pool: Pool, name: str, table: str) -> AsyncIterator[Connection]:
    """Lends a connection for one named statement, inside its span.

    Raises UNAVAILABLE/DATABASE_UNAVAILABLE where the server is gone or does not answer; the errors of a statement that
    is wrong (asyncpg.DataError and its kind) pass.
    """
    try:
        with database.span(name, table=table):
            async with pool.acquire(timeout=5) as connection:
                yield connection
    except (OSError, TimeoutError, asyncpg.InterfaceError) as error:
        raise unavailable(error) from error
    except asyncpg.PostgresError as error:
        # 08 connection, 53 resources, 57 operator intervention, 25006 a standby: all pass with time.
        if (error.sqlstate or "")[:2] in ("08", "53", "57") or error.sqlstate == "25006":
            raise unavailable(error) from error
        raise


class OfferTable:
    """Offers, one row each."""

    def __init__(self, pool: Pool) -> None:
        """Works on a pool that its owner closes."""
        self._pool = pool

    async def get(self, name: str) -> Offer | None:
        """Returns an offer, also a disabled one; None if there is none."""
        async with statement(self._pool, "offer_get", "clicks.offers") as connection:
            row = await connection.fetchrow(_OFFER_GET, name)
        return offer_of(row) if row else None

    async def page(self, after: str, size: int) -> Sequence[Offer]:
        """Returns up to `size` offers whose names come after `after`, by name."""
        async with statement(self._pool, "offer_list", "clicks.offers") as connection:
            rows = await connection.fetch(_OFFER_LIST, after, size)
        return [offer_of(row) for row in rows]

    async def insert(self, offer: Offer) -> Offer:
        """Adds an offer and returns it with its times. ALREADY_EXISTS/OFFER_EXISTS when the name is taken."""
        async with statement(self._pool, "offer_insert", "clicks.offers") as connection:
            row = await connection.fetchrow(_OFFER_INSERT, *offer_values(offer))
        if row is None:
            raise ClicktraceError(
                Code.ALREADY_EXISTS,
                "OFFER_EXISTS",
                f"there is an offer {offer.name!r} already; change it or take another name",
            )
        return offer_of(row)


class ClickTable:
    """The click log, one row for each click."""

    def __init__(self, pool: Pool) -> None:
        """Works on a pool that its owner closes."""
        self._pool = pool

    async def write(self, records: Sequence[ClickRecord]) -> None:
        """Writes records in one statement; of each click the newest version is kept, so a repeat is harmless.

        Raises ValueError when the database refuses one of them, and then writes none.
        """
        text = json.dumps([record_json(record) for record in records])
        async with statement(self._pool, "clicks_write", "clicks.clicks") as connection:
            try:
                await connection.execute(_CLICKS_WRITE, text)
            except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
                raise ValueError(f"the database refuses a click record: {type(error).__name__}") from error

    async def get(self, click_id: str) -> ClickRecord | None:
        """Returns one click, whole; None if there is none."""
        row: Any
        async with statement(self._pool, "click_get", "clicks.clicks") as connection:
            row = await connection.fetchrow(_CLICK_GET, click_id)
        return record_of(row) if row else None
