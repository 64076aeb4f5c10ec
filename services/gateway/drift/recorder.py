"""Records the activity of every offer, and flushes it into the database, where drift is found.

A click only changes counters in memory. Every few seconds the activity of all offers is flushed in one transaction, so
that all gateways learn one shape, a restart loses nothing, and no click needs a round trip for it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from libs.common.errors import ClicktraceError
from libs.common.process import logs
from services.gateway.clicks.record import Answered
from services.gateway.clicks.trace import Trace
from services.gateway.drift.shape import Chain, DriftKind
from services.gateway.drift.stats import Activity, OfferHealth, time_class
from services.gateway.model import Answer, Blame, WalkResult
from services.gateway.urls import judging
from services.gateway.urls.parameters import SplitUrl, parse

log = logs.get(__name__)

_PAGE_SIZE = 500
_PUBLISH_SECONDS = 15.0
_LAST_FLUSH_SECONDS = 2.0
# Requests that are no clicks, and clicks that are not to be traced, do not count for the health of an offer.
_NO_CLICKS = ("HEAD", "PREFETCH")
_NO_FALLBACK = ("REDIRECT_ONLY",)


class HealthStore(Protocol):
    """Stores the health of offers. Every method raises UNAVAILABLE/DATABASE_UNAVAILABLE."""

    async def add_activity(self, activity: Mapping[str, Activity]) -> Mapping[str, Mapping[DriftKind, int]]:
        """Adds activity to the health of offers, by name; returns how many chains of each drifted, by kind."""
        ...

    async def page(self, after: str, size: int, *, offer: str = "", drifting: bool = False) -> Sequence[OfferHealth]:
        """Returns up to `size` offers whose names come after `after`, by name."""
        ...


class DriftObserver(Protocol):
    """Receives drift events."""

    def drifted(self, offer: str, kind: DriftKind, chains: int) -> None:
        """Receives the number of chains that drifted since the last flush; 0 is reported too."""
        ...

    def drifting(self, drifts: Mapping[tuple[str, DriftKind], int]) -> None:
        """Receives the number of open drifts by (offer, kind); it replaces what was received before."""
        ...


class HealthRecorder:
    """Receives click events, and flushes the activity of offers into the store."""

    def __init__(self, store: HealthStore, observer: DriftObserver, *, every: float) -> None:
        """Flushes once per `every` seconds while `run` runs."""
        self._store = store
        self._observer = observer
        self._every = every
        self._activity: dict[str, Activity] = {}
        self._publish_at = 0.0

    def answered(self, trace: Trace, answered: Answered) -> None:
        """Counts an answered click."""
        if answered.reason in _NO_CLICKS:
            return
        activity = self._activity_of(trace.offer.name)
        activity.clicks += 1
        if answered.answer is Answer.FALLBACK and answered.reason not in _NO_FALLBACK:
            activity.fallbacks += 1

    def left(self, trace: Trace) -> None:
        """Counts a click whose visitor disconnected; the end of its trace is counted too."""
        self._activity_of(trace.offer.name).clicks += 1

    def ended(self, trace: Trace, answered: Answered | None, seconds: float) -> None:  # noqa: ARG002
        """Counts a trace and its chain; `seconds` is the time from the click to the end of the trace."""
        result = trace.result
        if trace.is_joined or result is None or result.blame in (Blame.PROXY, Blame.CALLER):
            return
        activity = self._activity_of(trace.offer.name)
        activity.count_chain(chain_of(trace, result))
        if not trace.failure:
            activity.times[time_class(seconds)] += 1
            if not judging.is_blocked(result):
                activity.last_landing = SplitUrl.of(result.final_url).base

    async def page(self, after: str, size: int, *, offer: str = "", drifting: bool = False) -> Sequence[OfferHealth]:
        """Returns up to `size` offers whose names come after `after`, by name, as all gateways last flushed them."""
        return await self._store.page(after, size, offer=offer, drifting=drifting)

    async def run(self) -> None:
        """Flushes until it is cancelled, and then once more."""
        try:
            while True:
                await asyncio.sleep(self._every)
                await self._round()
        finally:
            try:
                async with asyncio.timeout(_LAST_FLUSH_SECONDS):
                    await self._round()
            except TimeoutError:
                log.warning("health.lost", offers=len(self._activity))

    async def flush(self) -> bool:
        """Adds all activity to the store; returns whether any chain drifted.

        Raises what the store raises, and then keeps the activity for the next flush.
        """
        activity, self._activity = self._activity, {}
        try:
            drifting = await self._store.add_activity(activity) if activity else {}
        except BaseException:
            for offer, later in self._activity.items():
                activity.setdefault(offer, Activity()).add(later)
            self._activity = activity
            raise
        for offer, kinds in drifting.items():
            # Zero counts too: Prometheus sees the first rise of a counter only if it has seen it at 0.
            for kind in DriftKind:
                self._observer.drifted(offer, kind, kinds.get(kind, 0))
        return any(drifting.values())

    async def publish_drifts(self) -> None:
        """Reports the open drifts of all offers to the observer, whichever gateway found them.

        Raises what the store raises.
        """
        drifts: dict[tuple[str, DriftKind], int] = {}
        after = ""
        while page := await self._store.page(after, _PAGE_SIZE, drifting=True):
            for health in page:
                for drift in health.drifts:
                    key = (health.offer, drift.deviation.kind)
                    drifts[key] = drifts.get(key, 0) + 1
            after = page[-1].offer
        self._observer.drifting(drifts)

    async def _round(self) -> None:
        now = asyncio.get_running_loop().time()
        try:
            drifted = await self.flush()
            # At once after a drift of this gateway; those that other gateways found may wait.
            if drifted or now >= self._publish_at:
                await self.publish_drifts()
                self._publish_at = now + _PUBLISH_SECONDS
        except ClicktraceError as error:
            log.warning("health.kept", reason=error.reason, offers=len(self._activity))
        except Exception:
            # The activity is kept, so the next round tries again.
            log.exception("health.failed", offers=len(self._activity))

    def _activity_of(self, offer: str) -> Activity:
        activity = self._activity.get(offer)
        if activity is None:
            activity = self._activity[offer] = Activity()
        return activity


def host_of(url: str) -> str:
    """Returns the host and port of an http or https URL, without user information; faster than a full split."""
    authority = url.split("/", 3)[2] if url.count("/") >= 2 else ""
    return authority.partition("?")[0].partition("#")[0].rpartition("@")[2]


def chain_of(trace: Trace, result: WalkResult) -> Chain:
    """Returns the chain that a click's trace walked."""
    # Another IP is tried only if no origin was reached, so only hops of the last IP can have redirected.
    walked = [(host_of(hop.url), hop.kind) for hop in trace.walk.hops]
    final = SplitUrl.of(result.final_url)
    broke = bool(result.failure_reason)
    return Chain.of(
        hops=[(host, kind) for host, kind in walked if kind],
        end_host=walked[-1][0] if broke and walked else final.host,
        params=[] if trace.failure else [parameter.name for parameter in parse(final.query or "")],
        inbound=[parameter.name for parameter in trace.click.inbound],
        failure=trace.failure,
        is_blocked=judging.is_blocked(result),
    )
