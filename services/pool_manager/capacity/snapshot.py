"""Takes a census of the pool every few seconds, for its metrics."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from libs.common.errors import ClicktraceError
from libs.common.process import logs
from services.pool_manager.capacity.trend import Trend
from services.pool_manager.model.capacity import PoolCensus
from services.pool_manager.model.proxies import ProxyState

log = logs.get(__name__)

_PERIOD_SECONDS = 5.0
# Counting a pool of a million takes a good part of a second; counting is to take a tenth of one connection's time.
_REST_FACTOR = 9.0


class CensusStore(Protocol):
    """Counts the pool."""

    async def census(self, since: datetime | None) -> PoolCensus:
        """Counts the pool, and the quarantines after a moment; None counts none."""
        ...


class CensusObserver(Protocol):
    """Receives each census."""

    def counted(self, census: PoolCensus, exhausted_in: Mapping[str, float]) -> None:
        """Receives a census, and the seconds until each country has no free IP."""
        ...


class CensusTaker:
    """Counts the pool for an observer."""

    def __init__(self, store: CensusStore, observer: CensusObserver) -> None:
        """Counts `store` for `observer` while `run` runs."""
        self._store = store
        self._observer = observer
        self._trends: dict[str, Trend] = {}
        self._since: datetime | None = None

    async def run(self) -> None:
        """Counts until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self.once()
            except ClicktraceError as error:
                log.warning("census.failed", reason=error.reason)
            took = loop.time() - began
            await asyncio.sleep(max(_PERIOD_SECONDS - took, took * _REST_FACTOR))

    async def once(self) -> None:
        """Counts once."""
        census = await self._store.census(self._since)
        self._since = census.counted_until
        available = {row.country: 0 for row in census.rows}
        for row in census.rows:
            if row.state is ProxyState.AVAILABLE:
                available[row.country] += row.proxies
        self._trends = {country: self._trends.get(country, Trend()) for country in available}
        moment = census.db_time.timestamp()
        for country, free in available.items():
            self._trends[country].add(moment, free)
        self._observer.counted(census, {country: trend.exhausted_in() for country, trend in self._trends.items()})
