"""Who may take one of the last free IPs: so that one noisy offer cannot drain a country.

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
# Counting a pool of a million takes a while; it is to take a fifth of one connection's time at most.
_REST_FACTOR = 4.0


class UsageStore(Protocol):
    """Where it is known which offers hold how many IPs."""

    async def usage(self, country: str) -> Usage:
        """Counts the free IPs of a country (empty: of all), and the busy ones by offer."""
        ...


@dataclass(slots=True)
class _Country:
    """What is known of one country; times are those of the event loop."""

    seen: dict[str, float] = field(default_factory=dict)
    """When each offer asked last, the one that asked longest ago first."""
    weight: float = 0.0
    """The weights of all of them together."""
    usage: Usage | None = None
    counted_until: float = float("-inf")
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
        """Notes that an offer asks, and counts the country anew if that is due and matters."""
        if not self._reserve:
            return
        now = asyncio.get_running_loop().time()
        known = self._countries.setdefault(request.country, _Country())
        if known.seen.pop(request.offer, None) is None:
            known.weight += self._weight(request.offer)
        known.seen[request.offer] = now
        self._forget(known, now)
        if len(known.seen) < 2 or now < known.counted_until:
            return
        async with known.counting:
            if asyncio.get_running_loop().time() >= known.counted_until:
                await self._count(request.country, known)

    def admits(self, request: LeaseRequest) -> bool:
        """Tells whether a request may take a free IP, going by the last count."""
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

    async def _count(self, country: str, known: _Country) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            known.usage = await self._store.usage(country)
        except ClicktraceError as error:
            # Fairness is no reason to refuse service; the old count holds meanwhile.
            log.warning("fairness.uncounted", reason=error.reason)
        known.counted_until = loop.time() + max(_COUNT_SECONDS, (loop.time() - began) * _REST_FACTOR)
