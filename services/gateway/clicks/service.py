"""The use case: serves one click from its request to its answer, and ends its trace afterwards."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple, Protocol

from opentelemetry import trace as otel
from opentelemetry.trace import Span

from libs.common.observability import spans
from libs.common.process import logs
from libs.common.process.tasks import Background
from services.gateway.clicks.privacy import Privacy
from services.gateway.clicks.record import Answered, Kept, snapshot
from services.gateway.clicks.trace import Trace
from services.gateway.clicks.tracing import Tracing
from services.gateway.model import Answer, Click, ClickRecord, Decision, FallbackPolicy, Mode, Offer
from services.gateway.urls import destination
from services.gateway.urls.parameters import Merged

log = logs.get(__name__)

# An answer may wait this long to be on record. At the deadline only so long: the visitor has waited enough, and the
# click itself is on record since it began. Under pressure not much longer: then the database may be what is slow.
_RECORD_SECONDS = 0.5
_RECORD_LATE_SECONDS = 0.02
_RECORD_PRESSED_SECONDS = 0.05
# A record that is unfinished this long after the last moment its trace could end has no gateway any more.
_GIVE_UP_MARGIN_SECONDS = 15.0
LEAD_MARGIN_SECONDS = 10.0
"""How long a click leads those that are the same beyond its own `trace_timeout`; less than the margin of giving up, so
that whoever comes when it shows as ABANDONED walks, and does not join it."""


class ClickStore(Protocol):
    """Stores records."""

    def put(self, record: ClickRecord) -> None:
        """Queues a record, which is written soon."""
        ...

    async def durable(self, record: ClickRecord, *, within: float) -> bool:
        """Queues a record and waits up to `within` seconds until it is written; returns whether it is."""
        ...


class OfferSource(Protocol):
    """Finds offers."""

    async def find(self, name: str) -> Offer:
        """Returns an offer. Raises NOT_FOUND/UNKNOWN_OFFER."""
        ...


class Admission(Protocol):
    """Decides which clicks may be traced."""

    def refusal(self, click: Click, offer: Offer) -> str:
        """Returns the UPPER_SNAKE reason why a click may not be traced; empty if it may."""
        ...


class LandingSource(Protocol):
    """Finds last landing pages."""

    def find(self, offer: str) -> str | None:
        """Returns the last landing page of an offer without per-click parameters; None if there is none."""
        ...


class ClickObserver(Protocol):
    """Receives click events: answered, visitor disconnected, trace ended."""

    def answered(self, trace: Trace, answered: Answered) -> None:
        """Receives the answer of a click."""
        ...

    def left(self, trace: Trace) -> None:
        """Receives the click of a visitor who disconnected before there was an answer."""
        ...

    def ended(self, trace: Trace, answered: Answered | None, seconds: float) -> None:
        """Receives a trace that ended `seconds` after its click; `answered` is None while the visitor waits."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of time and number."""

    max_wait: float
    """Seconds that a visitor waits at most, unless the offer sets its own limit."""
    trace_timeout: float
    """Seconds that a trace may take at most, over all attempts."""
    max_waiting: int
    """Number of visitors that may wait at once."""


class _Case:
    """One click: its trace, its answer, and its records. Only the service writes to it."""

    __slots__ = ("answered", "kept", "trace", "untraced_time", "version", "visitor_left", "was_late")

    def __init__(self, click: Click, offer: Offer, *, give_up_after: float, privacy: Privacy) -> None:
        context = otel.get_current_span().get_span_context()
        self.trace = Trace(click, offer)
        self.kept = Kept(
            give_up_time=click.start_time + timedelta(seconds=give_up_after),
            visitor_address=privacy.address(click.address),
            user_agent=privacy.user_agent(click.user_agent),
            otel_trace_id=otel.format_trace_id(context.trace_id) if context.trace_flags.sampled else "",
        )
        self.answered: Answered | None = None
        self.visitor_left = False
        self.was_late = False
        """Whether the trace ended after the visitor was answered or had left."""
        self.untraced_time: datetime | None = None
        self.version = 0

    def next_record(self) -> ClickRecord:
        """Returns a record that replaces the ones before."""
        self.version += 1
        return self.record()

    def record(self) -> ClickRecord:
        """Returns the present record."""
        return snapshot(
            self.trace,
            self.answered,
            self.kept,
            version=self.version,
            untraced_time=self.untraced_time,
            visitor_left=self.visitor_left,
            is_late=self.was_late,
        )


class Clicks:
    """Serves clicks."""

    def __init__(
        self,
        *,
        offers: OfferSource,
        admission: Admission,
        tracing: Tracing,
        store: ClickStore,
        landings: LandingSource,
        background: Background,
        limits: Limits,
        privacy: Privacy,
        observers: Sequence[ClickObserver],
    ) -> None:
        """Wires the use case; every part is owned by the caller."""
        self._offers = offers
        self._admission = admission
        self._tracing = tracing
        self._store = store
        self._landings = landings
        self._background = background
        self._limits = limits
        self._privacy = privacy
        self._observers = observers
        self._waiting = 0
        self._under_way: dict[str, _Case] = {}

    @property
    def waiting(self) -> int:
        """Number of visitors that wait for their answer."""
        return self._waiting

    def record_of(self, click_id: str) -> ClickRecord | None:
        """Returns the present record of a click whose trace is under way here; None for every other click."""
        case = self._under_way.get(click_id)
        return case.record() if case else None

    def under_way(self, most: int) -> Iterator[ClickRecord]:
        """Yields the present records of the `most` oldest clicks whose trace is under way here."""
        return (case.record() for case in islice(self._under_way.values(), most))

    async def serve(self, click: Click) -> Decision:
        """Returns the answer to a visitor. Raises NOT_FOUND/UNKNOWN_OFFER, and nothing else.

        The trace is a task of its own: it goes on when the visitor has waited long enough, or has disconnected.
        """
        offer = await self._offers.find(click.offer)
        give_up_after = self._limits.trace_timeout + _GIVE_UP_MARGIN_SECONDS
        case = _Case(click, offer, give_up_after=give_up_after, privacy=self._privacy)
        if refusal := _asked_not_to_trace(click, offer):
            return await self._refuse(case, refusal, within=_RECORD_SECONDS)
        if refusal := self._pressure(click, offer):
            return await self._refuse(case, refusal, within=_RECORD_PRESSED_SECONDS)
        deadline = click.started + (offer.max_wait or self._limits.max_wait)
        self._store.put(case.next_record())
        self._under_way[click.click_id] = case
        self._background.start(self._pursue(case, deadline), name=f"click:{click.click_id}")
        if offer.mode is Mode.BEACON:
            return await self._answer(case, _NO_CONTENT, within=_RECORD_SECONDS)
        try:
            await self._wait(case.trace, deadline)
        except asyncio.CancelledError:
            case.visitor_left = True
            for observer in self._observers:
                observer.left(case.trace)
            raise
        if not case.trace.ended.is_set():
            return await self._answer(case, self._fallback(case.trace, "MAX_WAIT"), within=_RECORD_LATE_SECONDS)
        left = deadline - asyncio.get_running_loop().time()
        within = max(_RECORD_LATE_SECONDS, min(_RECORD_SECONDS, left))
        return await self._answer(case, self._landing_or_fallback(case.trace), within=within)

    async def _refuse(self, case: _Case, reason: str, *, within: float) -> Decision:
        """Answers a click that gets no trace."""
        case.untraced_time = datetime.now(UTC)
        return await self._answer(case, self._fallback(case.trace, reason), within=within)

    def _pressure(self, click: Click, offer: Offer) -> str:
        """Returns why there is no room for another trace; empty if there is."""
        if self._background.is_full or self._waiting >= self._limits.max_waiting:
            return "OVERLOAD"
        return self._admission.refusal(click, offer)

    async def _wait(self, trace: Trace, deadline: float) -> None:
        self._waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                await trace.ended.wait()
        except TimeoutError:
            # The visitor has waited long enough; the trace goes on.
            return
        finally:
            self._waiting -= 1

    async def _answer(self, case: _Case, planned: "_Planned", *, within: float) -> Decision:
        """Records the answer, waiting at most `within` seconds, and returns it."""
        trace, (answer, merged, reason) = case.trace, planned
        click = trace.click
        wait = asyncio.get_running_loop().time() - click.started
        answered = case.answered = Answered(answer, merged.location, merged.sources, reason, wait)
        for observer in self._observers:
            observer.answered(trace, answered)
        await self._store.durable(case.next_record(), within=within)
        log.info(
            "click.answered",
            click_id=click.click_id,
            offer=click.offer,
            answer=answer,
            reason=reason,
            wait_ms=round(wait * 1000, 1),
            hops=len(trace.walk.hops),
            exit_ip=trace.exit_ip,
            **({"joined": trace.walk.click_id} if trace.is_joined else {}),
        )
        return Decision(click.click_id, answer, merged.location, reason)

    def _landing_or_fallback(self, trace: Trace) -> "_Planned":
        if trace.failure or trace.result is None:
            return self._fallback(trace, trace.failure)
        return _Planned(
            Answer.LANDING, destination.landing(trace.offer, trace.click, trace.result, trace.walk.hops), ""
        )

    def _fallback(self, trace: Trace, reason: str) -> "_Planned":
        offer, click = trace.offer, trace.click
        if offer.fallback_policy is FallbackPolicy.LAST_LANDING:
            merged = destination.last_landing(offer, click, self._landings.find(offer.name))
            if merged is not None:
                return _Planned(Answer.FALLBACK, merged, reason)
        return _Planned(Answer.FALLBACK, destination.fallback(offer, click), reason)

    async def _pursue(self, case: _Case, deadline: float) -> None:
        """Takes the trace of a click to its end, and puts that on record if the visitor did not wait for it."""
        with spans.child("click.trace") as span:
            try:
                await self._tracing.run(case.trace, deadline)
            finally:
                self._ended(case, span)
                await self._tracing.conclude(case.trace)

    def _ended(self, case: _Case, span: Span) -> None:
        trace = case.trace
        click_id = trace.click.click_id
        case.was_late = case.answered is not None or case.visitor_left
        del self._under_way[click_id]
        if trace.failure:
            spans.fail(span, trace.failure)
        seconds = asyncio.get_running_loop().time() - trace.click.started
        for observer in self._observers:
            observer.ended(trace, case.answered, seconds)
        if case.was_late:
            # The visitor's span is over, and this one outlives it.
            span.add_link(spans.context_of(click_id), {"clicktrace.link": "late"})
            self._store.put(case.next_record())
            log.info(
                "click.ended",
                click_id=click_id,
                offer=trace.offer.name,
                reason=trace.failure,
                hops=len(trace.walk.hops),
                exit_ip=trace.exit_ip,
            )


def _asked_not_to_trace(click: Click, offer: Offer) -> str:
    """Returns why the request or the offer asks for no trace, UPPER_SNAKE; empty if they ask for one."""
    return click.no_trace_reason or ("REDIRECT_ONLY" if offer.mode is Mode.REDIRECT_ONLY else "")


class _Planned(NamedTuple):
    """An answer that is not given yet."""

    answer: Answer
    merged: Merged
    reason: str


_NO_CONTENT = _Planned(Answer.NO_CONTENT, Merged("", ()), "BEACON")
