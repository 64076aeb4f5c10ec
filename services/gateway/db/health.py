"""The health of offers in PostgreSQL."""

import asyncio
import json
from collections.abc import Mapping, Sequence

from libs.common.postgres import sql
from services.gateway.db.tables import Pool, statement
from services.gateway.drift.shape import DriftKind
from services.gateway.drift.stats import Fresh, Health, OfferHealth, of_json, to_json

_queries = sql.load(__package__)
_HEALTH_BEGIN = _queries["health_begin"]
_HEALTH_LOCK = _queries["health_lock"]
_HEALTH_WRITE = _queries["health_write"]
_HEALTH_LIST = _queries["health_list"]
_TABLE = "clicks.offer_health"


class HealthTable:
    """How offers fare, one row each, that all gateways write in turn."""

    def __init__(self, pool: Pool) -> None:
        """Works on a pool that its owner closes."""
        self._pool = pool

    async def take_in(self, fresh: Mapping[str, Fresh]) -> Mapping[str, Mapping[DriftKind, int]]:
        """Adds what happened to offers since the last time; returns how many chains of each differed, and in what.

        All or nothing. What is told of an offer that is deleted is forgotten.
        """
        drifting: dict[str, Mapping[DriftKind, int]] = {}
        async with statement(self._pool, "health_write", _TABLE) as connection, connection.transaction():
            names = sorted(fresh)
            await connection.execute(_HEALTH_BEGIN, names)
            states: dict[str, str] = {}
            for row in await connection.fetch(_HEALTH_LOCK, names):
                offer = row["offer"]
                before = of_json(json.loads(row["state"]))
                health, drifting[offer] = before.after(fresh[offer], row["db_time"].timestamp())
                states[offer] = json.dumps(to_json(health))
                # Clicks are not to wait for the sums of many offers.
                await asyncio.sleep(0)
            await connection.execute(_HEALTH_WRITE, list(states), list(states.values()))
        return drifting

    async def page(self, after: str, size: int, *, offer: str = "", drifting: bool = False) -> Sequence[OfferHealth]:
        """Returns up to `size` offers whose names come after `after`, by name."""
        async with statement(self._pool, "health_list", _TABLE) as connection:
            rows = await connection.fetch(_HEALTH_LIST, after, offer, drifting, size)
        return [
            OfferHealth.of(
                row["offer"],
                of_json(json.loads(row["state"])) if row["state"] else Health(),
                row["db_time"].timestamp(),
            )
            for row in rows
        ]
