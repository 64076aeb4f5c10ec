"""Learns from every click how its offer fares and whether its chain has changed.

A click only leaves a note in memory. Every few seconds the notes of all offers are taken into the database together, so
that all gateways learn one shape, a restart forgets nothing, and no click makes a round trip for it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from libs.common.errors import ClicktraceError
from libs.common.process import logs
from services.gateway.clicks.state import RunningClick
from services.gateway.drift.shape import Chain, DriftKind
from services.gateway.drift.stats import Fresh, OfferHealth, class_of
from services.gateway.model import Answer, Blame, WalkResult
from services.gateway.urls.parameters import SplitUrl, parse

log = logs.get(__name__)

_PAGE = 500
_LOOK_SECONDS = 15.0
_LAST_WITHIN = 2.0
# Requests that are no clicks, and offers that are not to be traced, say nothing of how an offer fares.
_NO_CLICKS = ("HEAD", "PREFETCH")
_NO_FALLBACK = ("REDIRECT_ONLY",)


class HealthStore(Protocol):
    """Where the health of offers is kept. Raises UNAVAILABLE/DATABASE_UNAVAILABLE when it does not answer."""

    async def take_in(self, fresh: Mapping[str, Fresh]) -> Mapping[str, Mapping[DriftKind, int]]:
        """Adds what happened to offers; returns how many chains of each differed, and in what."""
        ...

    async def page(self, after: str, size: int, *, offer: str = "", drifting: bool = False) -> Sequence[OfferHealth]:
        """Returns offers by name, after a name."""
        ...


class DriftObserver(Protocol):
    """Who is told of drift."""

    def drifted(self, offer: str, kind: DriftKind, chains: int) -> None:
        """Takes note of chains that differed from what is usual."""
        ...

    def drifting(self, drifts: Mapping[tuple[str, DriftKind], int]) -> None:
        """Takes note of how many drifts of each kind every offer has now."""
        ...


class OfferHealths:
    """Takes notes of clicks, and brings them into the store; tells how offers fare."""

    def __init__(self, store: HealthStore, observer: DriftObserver, *, every: float) -> None:
        """Brings notes into the store `every` so many seconds while `run` runs."""
        self._store = store
        self._observer = observer
        self._every = every
        self._fresh: dict[str, Fresh] = {}
        self._look_at = 0.0

    def answered(self, running: RunningClick, answer: Answer, reason: str, wait: float) -> None:  # noqa: ARG002
        """Notes an answer."""
        if reason in _NO_CLICKS:
            return
        fresh = self._of(running.offer.name)
        fresh.clicks += 1
        if answer is Answer.FALLBACK and reason not in _NO_FALLBACK:
            fresh.fallbacks += 1

    def left(self, running: RunningClick) -> None:
        """Notes a click whose visitor went away; what its trace finds is noted all the same."""
        self._of(running.offer.name).clicks += 1

    def ended(self, running: RunningClick, seconds: float) -> None:
        """Notes a trace that ended so many seconds after its click, and what its chain looked like."""
        result = running.result
        if running.is_joined or result is None or result.blame in (Blame.PROXY, Blame.CALLER):
            return
        fresh = self._of(running.offer.name)
        fresh.chain(chain_of(running, result))
        if not running.failure:
            fresh.times[class_of(seconds)] += 1
            fresh.last_landing = SplitUrl.of(result.final_url).base

    async def page(self, after: str, size: int, *, offer: str = "", drifting: bool = False) -> Sequence[OfferHealth]:
        """Returns up to `size` offers whose names come after `after`, by name, as the store knows them."""
        return await self._store.page(after, size, offer=offer, drifting=drifting)

    async def run(self) -> None:
        """Brings notes into the store until it is cancelled, and then once more."""
        try:
            while True:
                await asyncio.sleep(self._every)
                await self._round()
        finally:
            try:
                async with asyncio.timeout(_LAST_WITHIN):
                    await self._round()
            except TimeoutError:
                log.warning("health.lost", offers=len(self._fresh))

    async def once(self) -> bool:
        """Brings all notes into the store now, and says whether chains differed from what is usual.

        Raises as the store does, and then keeps the notes.
        """
        fresh, self._fresh = self._fresh, {}
        try:
            drifting = await self._store.take_in(fresh) if fresh else {}
        except BaseException:
            for offer, later in self._fresh.items():
                fresh.setdefault(offer, Fresh()).add(later)
            self._fresh = fresh
            raise
        for offer, kinds in drifting.items():
            # Also those that did not: Prometheus sees the first rise of a count only if it has seen it at 0.
            for kind in DriftKind:
                self._observer.drifted(offer, kind, kinds.get(kind, 0))
        return any(drifting.values())

    async def look(self) -> None:
        """Tells the observer which offers drift, whoever found that out. Raises as the store does."""
        drifts: dict[tuple[str, DriftKind], int] = {}
        after = ""
        while page := await self._store.page(after, _PAGE, drifting=True):
            for health in page:
                for drift in health.drifts:
                    key = (health.offer, drift.deviation.kind)
                    drifts[key] = drifts.get(key, 0) + 1
            after = page[-1].offer
        self._observer.drifting(drifts)

    async def _round(self) -> None:
        now = asyncio.get_running_loop().time()
        try:
            drifted = await self.once()
            # At once if something is new here; what other gateways found may wait.
            if drifted or now >= self._look_at:
                await self.look()
                self._look_at = now + _LOOK_SECONDS
        except ClicktraceError as error:
            log.warning("health.kept", reason=error.reason, offers=len(self._fresh))
        except Exception:
            # Whatever it is, what comes later is worth another try.
            log.exception("health.failed", offers=len(self._fresh))

    def _of(self, offer: str) -> Fresh:
        fresh = self._fresh.get(offer)
        if fresh is None:
            fresh = self._fresh[offer] = Fresh()
        return fresh


def host_of(url: str) -> str:
    """Returns the host and port of a URL of http or https, without user information; quicker than to cut all of it."""
    authority = url.split("/", 3)[2] if url.count("/") >= 2 else ""
    return authority.partition("?")[0].partition("#")[0].rpartition("@")[2]


def chain_of(running: RunningClick, result: WalkResult) -> Chain:
    """Returns what matters of the chain that a click has walked."""
    # Another IP is tried only where no origin was reached, so no hop but those of the last IP led on.
    walked = [(host_of(hop.url), hop.kind) for hop in running.walk.hops]
    final = SplitUrl.of(result.final_url)
    broke = bool(result.failure_reason)
    return Chain.of(
        hops=[(host, kind) for host, kind in walked if kind],
        end_host=walked[-1][0] if broke and walked else final.host,
        params=[] if running.failure else [parameter.name for parameter in parse(final.query or "")],
        inbound=[parameter.name for parameter in running.click.inbound],
        failure=running.failure,
    )
