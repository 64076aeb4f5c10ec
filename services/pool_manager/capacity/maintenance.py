"""Maintenance, run every minute by one replica, and its findings for operators."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from libs.common.errors import ClicktraceError
from libs.common.process import logs
from services.pool_manager.model.capacity import PoolStatus, Statistics
from services.pool_manager.model.operations import Maintained

log = logs.get(__name__)

PERIOD_SECONDS = 60.0
_TALLY_SECONDS = 5.0

# The quick start's signs that a pool needs more IPs, and one of its own.
_BUSY = 0.8
_SICK = 0.2


def findings(status: PoolStatus, rows: Sequence[Statistics]) -> Sequence[str]:
    """Returns what an operator should look at, one sentence each; `rows` are the newest statistics."""
    found = []
    newest = {row.country: row for row in reversed(rows)}
    for counts in status.countries:
        usable = counts.total - counts.drained
        if counts.utilization > _BUSY:
            found.append(
                f"{counts.country}: {counts.utilization:.0%} of the usable IPs are busy, above {_BUSY:.0%}; add IPs"
            )
        if usable and counts.unhealthy / usable > _SICK:
            found.append(f"{counts.country}: {counts.unhealthy} of {usable} IPs are unhealthy; look at their provider")
        row = newest.get(counts.country)
        if row and row.refusals:
            found.append(
                f"{counts.country}: {row.refusals} requests found no IP in the last period, {row.grants} did; add IPs"
            )
    return found


class TallyStore(Protocol):
    """Stores counts of refusals and waits."""

    async def add_tallies(self, refusals: dict[str, int], waits: dict[str, int]) -> None:
        """Adds the numbers of refused and of waiting requests, per country."""
        ...


class Tally:
    """Counts the requests that were refused or had to wait, which the database does not see."""

    def __init__(self, store: TallyStore) -> None:
        """Counts for `store`."""
        self._store = store
        self._refusals: Counter[str] = Counter()
        self._waits: Counter[str] = Counter()

    def refused(self, country: str) -> None:
        """Counts a request that got no IP."""
        self._refusals[country] += 1

    def waited(self, country: str) -> None:
        """Counts a request that had to wait."""
        self._waits[country] += 1

    async def hand_over(self) -> None:
        """Writes the counts since the last call; keeps them for the next call if that fails."""
        if not self._refusals and not self._waits:
            return
        refusals, self._refusals = self._refusals, Counter()
        waits, self._waits = self._waits, Counter()
        try:
            await self._store.add_tallies(dict(refusals), dict(waits))
        except ClicktraceError:
            self._refusals.update(refusals)
            self._waits.update(waits)
            raise

    async def run(self) -> None:
        """Hands over every few seconds until it is cancelled."""
        while True:
            await asyncio.sleep(_TALLY_SECONDS)
            try:
                await self.hand_over()
            except ClicktraceError as error:
                log.warning("tally.kept", reason=error.reason)


class Maintaining(Protocol):
    """Runs maintenance."""

    async def maintain(self, *, forced: bool, dry_run: bool) -> tuple[Maintained, Sequence[str]]:
        """Runs maintenance unless another replica has; returns what was done, and findings for an operator."""
        ...


async def run(
    operating: Maintaining, period: float = PERIOD_SECONDS, *, on_done: Callable[[], None] = lambda: None
) -> None:
    """Runs maintenance every minute until it is cancelled; the replica that did the work calls `on_done`."""
    while True:
        # Spread, so that replicas that were started together do not all ask at once.
        await asyncio.sleep(period * random.uniform(0.8, 1.0))  # noqa: S311 - nothing secret
        try:
            done, found = await operating.maintain(forced=False, dry_run=False)
        except ClicktraceError as error:
            log.warning("maintenance.failed", reason=error.reason)
            continue
        if not done.skipped:
            on_done()
            log.info(
                "maintenance.done",
                statistics_rows=done.statistics_rows,
                expired_leases=done.expired_leases,
                deleted_rows=done.deleted_rows,
            )
        for finding in found:
            log.warning("pool.finding", finding=finding)
