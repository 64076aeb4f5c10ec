"""Fair shares: one noisy offer cannot drain a country.

An offer may take what others leave idle, as long as a reserve stays free. The reserve is for offers that are below
their fair share, which is their weight among the offers that were seen in that country in the last minutes. An offer
that is alone has it all.

Each replica judges by what it saw itself and by a count of the database that is a second old, corrected by its own
grants since; so the bound is exact on one replica and nearly so on many. Exclusiveness does not depend on it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from libs.common.errors import ClicktraceError
from libs.common.process import logs
from services.pool_manager.model.capacity import Usage
from services.pool_manager.model.leases import LeaseRequest

log = logs.get(__name__)

_SEEN_SECONDS = 600.0
_COUNT_SECONDS = 1.0
# Age in seconds up to which a count may hold waiting requests back.
_RECOUNT_SECONDS = 0.1
# Counting a pool of a million takes a while; it is to take a fifth of one connection's time at most.
_IDLE_FACTOR = 4.0


class UsageStore(Protocol):
    """Counts which offers hold how many IPs."""

    async def usage(self, country: str) -> Usage:
        """Counts the free IPs of a country (empty: of all), and the busy ones by offer."""
        ...


@dataclass(slots=True)
class _Country:
    """The counts of one country. Times are seconds of the event loop's clock."""

    seen: dict[str, float] = field(default_factory=dict)
    """When each offer asked last, oldest first."""
    weight: float = 0.0
    """The sum of their weights."""
    usage: Usage | None = None
    counted: float = float("-inf")
    """The time of the last count."""
    count_seconds: float = 0.0
    """The duration of that count in seconds."""
    counting: asyncio.Lock = field(default_factory=asyncio.Lock)


class Shares:
    """Judges requests by the shares of their offers."""

    def __init__(self, store: UsageStore, *, weights: Mapping[str, float], reserve: float) -> None:
        """Prepares to judge.

        `reserve` is the part of the usable IPs, 0 to 1, that is kept; with 0 nothing is judged. `weights` are those of
        the offers that do not weigh 1.
        """
        self._store = store
        self._weights = weights
        self._reserve = reserve
        self._countries: dict[str, _Country] = {}

    async def look(self, request: LeaseRequest) -> None:
        """Records a request of an offer, and counts the country again if that is due and matters."""
        if not self._reserve:
            return
        now = asyncio.get_running_loop().time()
        known = self._countries.setdefault(request.country, _Country())
        if known.seen.pop(request.offer, None) is None:
            known.weight += self._weight(request.offer)
        known.seen[request.offer] = now
        self._forget(known, now)
        if len(known.seen) > 1:
            await self._count(request.country, known, _COUNT_SECONDS)

    async def recount(self, country: str) -> None:
        """Counts a country again unless it was counted just now."""
        if (known := self._countries.get(country)) is not None:
            await self._count(country, known, _RECOUNT_SECONDS)

    def admits(self, request: LeaseRequest) -> bool:
        """Returns whether a request may take a free IP by the last count."""
        known = self._countries.get(request.country)
        if known is None or known.usage is None:
            return True
        self._forget(known, asyncio.get_running_loop().time())
        if len(known.seen) < 2:
            return True
        usage = known.usage
        share = usage.usable * self._weight(request.offer) / known.weight
        # Rounded down, so that the handful of IPs of a small pool is not held back.
        kept = int(self._reserve * (usage.usable - 1))
        return usage.free > kept or usage.busy.get(request.offer, 0) < share

    def take(self, request: LeaseRequest, ips: int = 1) -> None:
        """Corrects the count by what this replica is about to grant, or (-1) did not grant after all."""
        known = self._countries.get(request.country)
        if known is not None and known.usage is not None:
            known.usage.free -= ips
            known.usage.busy[request.offer] = known.usage.busy.get(request.offer, 0) + ips

    def _weight(self, offer: str) -> float:
        return self._weights.get(offer, 1.0)

    def _forget(self, known: _Country, now: float) -> None:
        """Drops the offers that were not seen lately."""
        while known.seen:
            offer, seen = next(iter(known.seen.items()))
            if now - seen <= _SEEN_SECONDS:
                return
            del known.seen[offer]
            known.weight -= self._weight(offer)

    async def _count(self, country: str, known: _Country, max_age_seconds: float) -> None:
        """Counts a country unless the last count is young enough, or counting takes too much of the database's time."""
        loop = asyncio.get_running_loop()

        def is_fresh() -> bool:
            return loop.time() < known.counted + max(max_age_seconds, known.count_seconds * _IDLE_FACTOR)

        if is_fresh():
            return
        async with known.counting:
            if is_fresh():
                return
            began = loop.time()
            try:
                known.usage = await self._store.usage(country)
            except ClicktraceError as error:
                # Fairness is no reason to refuse service; the old count holds meanwhile.
                log.warning("fairness.uncounted", reason=error.reason)
            known.counted = loop.time()
            known.count_seconds = known.counted - began
