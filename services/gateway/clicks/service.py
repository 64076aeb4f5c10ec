"""The use case: what happens to one click, from its request to its answer and beyond."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from opentelemetry import trace
from opentelemetry.trace import Span

from libs.common.errors import ClicktraceError, Code
from libs.common.observability import spans
from libs.common.process import logs
from libs.common.process.tasks import Background
from services.gateway.clicks.privacy import Privacy
from services.gateway.clicks.state import RunningClick, Walk
from services.gateway.clicks.tracing import Walker
from services.gateway.model import (
    Answer,
    Click,
    ClickRecord,
    Decision,
    FallbackPolicy,
    Mode,
    Offer,
    WalkResult,
)
from services.gateway.urls import destination
from services.gateway.urls.parameters import Merged

log = logs.get(__name__)

# An answer may wait this long to be on record. At the deadline only so long: the visitor has waited enough, and the
# click itself is on record since it began. Under pressure not much longer: then the database may be what is slow.
_RECORD_WITHIN = 0.5
_RECORD_LATE_WITHIN = 0.02
_RECORD_PRESSED_WITHIN = 0.05
# A record that is unfinished this long after the last moment its trace could end has no gateway any more.
_GIVE_UP_MARGIN = 15.0
# Its lead over the same click ends before that: whoever comes when it shows as ABANDONED walks, and does not join it.
LEAD_MARGIN = 10.0
# A chain that broke may work again soon; but a visitor who reloads must not cost an IP each time.
_FAILURE_KEPT = 30.0


class ClickStore(Protocol):
    """Keeps records."""

    def put(self, record: ClickRecord) -> None:
        """Takes a record to be written soon."""
        ...

    async def durable(self, record: ClickRecord, *, within: float) -> bool:
        """Takes a record and waits until it is written."""
        ...


class OfferSource(Protocol):
    """Knows offers."""

    async def find(self, name: str) -> Offer:
        """Returns an offer; NOT_FOUND/UNKNOWN_OFFER."""
        ...


class Gate(Protocol):
    """Says who may have a trace."""

    def refusal(self, click: Click, offer: Offer) -> str:
        """Returns why a click may not have one; empty if it may."""
        ...


class Joining(Protocol):
    """Knows which clicks are the same."""

    async def join(self, identity: str, own: Walk) -> Walk:
        """Returns the walk of an identity, `own` if this click leads."""
        ...

    async def conclude(self, identity: str, own: Walk, *, keep: float) -> None:
        """Ends the lead of a click."""
        ...


class Landings(Protocol):
    """Remembers where chains ended."""

    def note(self, offer: str, url: str) -> None:
        """Remembers a landing page."""
        ...

    def find(self, offer: str) -> str | None:
        """Returns the last landing page without per-click parameters."""
        ...


class Observer(Protocol):
    """Is told what becomes of clicks."""

    def answered(self, running: RunningClick, answer: Answer, reason: str, wait: float) -> None:
        """Takes note of an answer that a visitor got after `wait` seconds, and why it is no landing."""
        ...

    def left(self, running: RunningClick) -> None:
        """Takes note of a visitor who went away before there was an answer."""
        ...

    def ended(self, running: RunningClick, seconds: float) -> None:
        """Takes note of a trace that came to its end `seconds` after its click."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much; times are in seconds."""

    max_wait: float
    """How long a visitor waits if the offer does not say."""
    trace_timeout: float
    """How long a trace may take in all."""
    max_waiting: int
    """How many visitors may wait at once."""


class Clicks:
    """Serves clicks."""

    def __init__(
        self,
        *,
        offers: OfferSource,
        gate: Gate,
        walker: Walker,
        store: ClickStore,
        joining: Joining,
        landings: Landings,
        background: Background,
        limits: Limits,
        privacy: Privacy,
        observers: Sequence[Observer],
    ) -> None:
        """Wires the use case; every part is owned by the caller."""
        self._offers = offers
        self._gate = gate
        self._walker = walker
        self._store = store
        self._joining = joining
        self._landings = landings
        self._background = background
        self._limits = limits
        self._privacy = privacy
        self._observers = observers
        self._waiting = 0
        self._under_way: dict[str, RunningClick] = {}

    @property
    def under_way(self) -> Mapping[str, RunningClick]:
        """The clicks whose trace is not over, by their ids, oldest first."""
        return self._under_way

    @property
    def waiting(self) -> int:
        """How many visitors wait for their answer."""
        return self._waiting

    async def serve(self, click: Click) -> Decision:
        """Decides what a visitor is answered with. NOT_FOUND/UNKNOWN_OFFER is the only error.

        The trace is a task of its own: it goes on when the visitor has waited long enough, or has gone.
        """
        offer = await self._offers.find(click.offer)
        give_up_after = self._limits.trace_timeout + _GIVE_UP_MARGIN
        running = RunningClick(click, offer, give_up_after=give_up_after, privacy=self._privacy)
        reason = _asked_not_to_trace(click, offer)
        pressure = "" if reason else self._pressure(click, offer)
        if reason or pressure:
            running.not_traced()
            within = _RECORD_PRESSED_WITHIN if pressure else _RECORD_WITHIN
            return await self._answer(running, self._fallback(running, reason or pressure), within=within)
        deadline = click.started + (offer.max_wait or self._limits.max_wait)
        self._store.put(running.record())
        self._under_way[click.click_id] = running
        self._background.start(self._pursue(running, deadline), name=f"click:{click.click_id}")
        if offer.mode is Mode.BEACON:
            return await self._answer(running, _NO_CONTENT, within=_RECORD_WITHIN)
        try:
            await self._wait(running, deadline)
        except asyncio.CancelledError:
            running.visitor_left()
            for observer in self._observers:
                observer.left(running)
            raise
        if not running.ended.is_set():
            return await self._answer(running, self._fallback(running, "MAX_WAIT"), within=_RECORD_LATE_WITHIN)
        left = deadline - asyncio.get_running_loop().time()
        within = max(_RECORD_LATE_WITHIN, min(_RECORD_WITHIN, left))
        return await self._answer(running, self._outcome(running), within=within)

    def _pressure(self, click: Click, offer: Offer) -> str:
        """Returns why there is no room for another trace; empty if there is."""
        if self._background.is_full or self._waiting >= self._limits.max_waiting:
            return "OVERLOAD"
        return self._gate.refusal(click, offer)

    async def _wait(self, running: RunningClick, deadline: float) -> None:
        self._waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                await running.ended.wait()
        except TimeoutError:
            # The visitor has waited long enough; the trace goes on.
            return
        finally:
            self._waiting -= 1

    async def _answer(self, running: RunningClick, answer: "_Answer", *, within: float) -> Decision:
        """Puts the answer on record, and returns it."""
        click = running.click
        wait = asyncio.get_running_loop().time() - click.started
        merged = answer.merged
        running.answered(answer.kind, location=merged.location, params=merged.sources, reason=answer.reason, wait=wait)
        for observer in self._observers:
            observer.answered(running, answer.kind, answer.reason, wait)
        await self._store.durable(running.record(), within=within)
        log.info(
            "click.answered",
            click_id=click.click_id,
            offer=click.offer,
            answer=answer.kind,
            reason=answer.reason,
            wait_ms=round(wait * 1000, 1),
            hops=len(running.walk.hops),
            exit_ip=running.exit_ip,
            **({"joined": running.walk.click_id} if running.is_joined else {}),
        )
        return Decision(click.click_id, answer.kind, merged.location, answer.reason)

    def _outcome(self, running: RunningClick) -> "_Answer":
        if running.failure or running.result is None:
            return self._fallback(running, running.failure)
        merged = destination.landing(running.offer, running.click, running.result, running.walk.hops)
        return _Answer(Answer.LANDING, merged, "")

    def _fallback(self, running: RunningClick, reason: str) -> "_Answer":
        offer, click = running.offer, running.click
        if offer.fallback_policy is FallbackPolicy.LAST_LANDING:
            merged = destination.last_landing(offer, click, self._landings.find(offer.name))
            if merged is not None:
                return _Answer(Answer.FALLBACK, merged, reason)
        return _Answer(Answer.FALLBACK, destination.fallback(offer, click), reason)

    async def _pursue(self, running: RunningClick, deadline: float) -> None:
        """Brings the trace of a click to its end, and puts that on record if the visitor did not wait for it."""
        with spans.child("journey") as span:
            await self._pursue_in(span, running, deadline)

    async def _pursue_in(self, span: Span, running: RunningClick, deadline: float) -> None:
        result: WalkResult | None = None
        failure = "INTERNAL_ERROR"
        try:
            async with asyncio.timeout(self._limits.trace_timeout):
                result = await self._journey(running, deadline)
            failure = destination.fault(running.offer, result)
        except ClicktraceError as error:
            failure = error.reason
        except TimeoutError:
            failure = "TRACE_TIMEOUT"
        except asyncio.CancelledError:
            failure = "SHUTTING_DOWN"
            raise
        finally:
            running.end(result, failure)
            del self._under_way[running.click.click_id]
            if failure:
                spans.fail(span, failure)
            seconds = asyncio.get_running_loop().time() - running.click.started
            for observer in self._observers:
                observer.ended(running, seconds)
            if running.is_late:
                # The visitor's span is over, and this one outlives it.
                span.add_link(spans.context_of(running.click.click_id), {"clicktrace.link": "late"})
                self._store.put(running.record())
                log.info(
                    "click.ended",
                    click_id=running.click.click_id,
                    offer=running.offer.name,
                    reason=failure,
                    hops=len(running.walk.hops),
                    exit_ip=running.exit_ip,
                )
            await self._conclude(running)

    async def _journey(self, running: RunningClick, deadline: float) -> WalkResult:
        """Lets a click that is the same as another one share its walk; walks for all others."""
        identity = running.identity
        if identity:
            walk = await self._joining.join(identity, running.walk)
            if walk is not running.walk:
                running.walk = walk
                trace.get_current_span().add_link(spans.context_of(walk.click_id), {"clicktrace.link": "joined"})
                await walk.ended.wait()
                if walk.result is None:
                    raise ClicktraceError(Code.ABORTED, walk.failure, "the trace that this click joined found nothing")
                return walk.result
        return await self._walker.walk(running, deadline)

    async def _conclude(self, running: RunningClick) -> None:
        """Ends a walk for those who share it, and keeps what it found."""
        if running.is_joined:
            return
        result = running.result
        if result is not None and not running.failure and result.stop_reason == "LANDING":
            self._landings.note(running.offer.name, result.final_url)
        if running.identity:
            age = asyncio.get_running_loop().time() - running.click.started
            window = max(0.0, running.offer.join_window - age)
            if result is None or (result.failure_reason and not result.target_reached):
                # Nothing was walked, so a second try costs nobody a second visit.
                window = 0.0
            elif running.failure:
                window = min(window, _FAILURE_KEPT)
            await self._joining.conclude(running.identity, running.walk, keep=window)


def _asked_not_to_trace(click: Click, offer: Offer) -> str:
    """Returns why the request or the offer wants no trace; empty if they want one."""
    return click.no_trace_reason or ("REDIRECT_ONLY" if offer.mode is Mode.REDIRECT_ONLY else "")


class _Answer(NamedTuple):
    """An answer before it is on record."""

    kind: Answer
    merged: Merged
    reason: str


_NO_CONTENT = _Answer(Answer.NO_CONTENT, Merged("", ()), "BEACON")
