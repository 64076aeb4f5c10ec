"""The click log: one row per click."""

import json
from collections.abc import Sequence
from typing import Any

import asyncpg

from libs.common.postgres.database import Pool
from libs.common.postgres.lending import lend
from services.gateway.db.click_rows import record_from_row, record_to_json
from services.gateway.db.session import QUERIES, affected_rows
from services.gateway.model import ClickFilter, ClickRecord

_WRITE = QUERIES["clicks_write"]
_GET = QUERIES["click_get"]
_GET_MANY = QUERIES["clicks_get"]
_LIST = QUERIES["click_list"]
_RECENT_LANDINGS = QUERIES["landings_recent"]
_EXPIRE = QUERIES["clicks_expire"]
_TABLE = "clicks.clicks"


class ClickTable:
    """Writes and reads click records. Every method raises UNAVAILABLE/DATABASE_UNAVAILABLE."""

    def __init__(self, pool: Pool) -> None:
        """Uses a pool that the caller closes."""
        self._pool = pool

    async def write(self, records: Sequence[ClickRecord]) -> None:
        """Writes records in one statement; of each click the newest version is kept, so a repeat changes nothing.

        Raises ValueError if the database refuses one of the records; then none is written.
        """
        text = json.dumps([record_to_json(record) for record in records])
        async with lend(self._pool, "clicks_write", table=_TABLE) as connection:
            try:
                await connection.execute(_WRITE, text)
            except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
                raise ValueError(f"the database refuses a click record: {type(error).__name__}") from error

    async def get(self, click_id: str) -> ClickRecord | None:
        """Returns the whole record of a click; None if there is none."""
        row: Any
        async with lend(self._pool, "click_get", table=_TABLE) as connection:
            row = await connection.fetchrow(_GET, click_id)
        return record_from_row(row) if row else None

    async def get_many(self, click_ids: Sequence[str]) -> Sequence[ClickRecord]:
        """Returns the whole records of the clicks that exist, by click id."""
        async with lend(self._pool, "clicks_get", table=_TABLE) as connection:
            rows = await connection.fetch(_GET_MANY, list(click_ids))
        return [record_from_row(row) for row in rows]

    async def page(self, wanted: ClickFilter, after: str, size: int) -> Sequence[ClickRecord]:
        """Returns up to `size` clicks older than the click `after` (empty: the newest), without hops and parameters."""
        async with lend(self._pool, "click_list", table=_TABLE) as connection:
            rows = await connection.fetch(
                _LIST, after, wanted.offer, wanted.status, wanted.reason, wanted.since, wanted.until, size
            )
        return [record_from_row(row) for row in rows]

    async def recent_landings(self, offers: Sequence[str]) -> Sequence[tuple[str, str]]:
        """Returns (offer, URL) for the last two landings of each offer, the older one first."""
        async with lend(self._pool, "landings_recent", table=_TABLE) as connection:
            rows = await connection.fetch(_RECENT_LANDINGS, list(offers))
        return [(row["offer"], row["final_url"]) for row in rows]

    async def expire(self, older_than: float, most: int) -> int:
        """Deletes up to `most` clicks that came more than `older_than` seconds ago; returns how many."""
        async with lend(self._pool, "clicks_expire", table=_TABLE) as connection:
            return affected_rows(await connection.execute(_EXPIRE, older_than, most))
