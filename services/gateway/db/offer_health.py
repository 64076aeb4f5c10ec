"""The health of offers: one row each, which all gateways update in turn."""

import asyncio
import json
from collections.abc import Mapping, Sequence

from libs.common.postgres.database import Pool
from libs.common.postgres.lending import lend
from services.gateway.db.session import QUERIES
from services.gateway.drift.shape import DriftKind
from services.gateway.drift.stats import Activity, Health, OfferHealth, health_from_json, health_to_json

_BEGIN = QUERIES["health_begin"]
_LOCK = QUERIES["health_lock"]
_WRITE = QUERIES["health_write"]
_LIST = QUERIES["health_list"]
_TABLE = "clicks.offer_health"


class OfferHealthTable:
    """Updates and reads the health of offers. Every method raises UNAVAILABLE/DATABASE_UNAVAILABLE."""

    def __init__(self, pool: Pool) -> None:
        """Uses a pool that the caller closes."""
        self._pool = pool

    async def add_activity(self, activity: Mapping[str, Activity]) -> Mapping[str, Mapping[DriftKind, int]]:
        """Adds activity to the health of offers, by name; returns how many chains of each drifted, by kind.

        Runs in one transaction: all of it is added or nothing. Activity of a deleted offer is dropped.
        """
        drifting: dict[str, Mapping[DriftKind, int]] = {}
        async with lend(self._pool, "health_write", table=_TABLE) as connection, connection.transaction():
            names = sorted(activity)
            await connection.execute(_BEGIN, names)
            states: dict[str, str] = {}
            for row in await connection.fetch(_LOCK, names):
                offer = row["offer"]
                before = health_from_json(json.loads(row["state"]))
                health, drifting[offer] = before.after(activity[offer], row["db_time"].timestamp())
                states[offer] = json.dumps(health_to_json(health))
                # Yields to the event loop, so that clicks do not wait while many offers are summed up.
                await asyncio.sleep(0)
            await connection.execute(_WRITE, list(states), list(states.values()))
        return drifting

    async def page(self, after: str, size: int, *, offer: str = "", drifting: bool = False) -> Sequence[OfferHealth]:
        """Returns up to `size` offers whose names come after `after`, by name."""
        async with lend(self._pool, "health_list", table=_TABLE) as connection:
            rows = await connection.fetch(_LIST, after, offer, drifting, size)
        return [
            OfferHealth.of(
                row["offer"],
                health_from_json(json.loads(row["state"])) if row["state"] else Health(),
                row["db_time"].timestamp(),
            )
            for row in rows
        ]
