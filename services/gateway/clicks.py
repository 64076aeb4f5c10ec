"""The use case: what happens to one click, from its request to its answer and beyond."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from libs.common import logs
from libs.common.errors import ClicktraceError, Code
from services.gateway import landing, tokens
from services.gateway.background import Background
from services.gateway.model import (
    Answer,
    Attempt,
    Blame,
    Click,
    ClickRecord,
    Decision,
    Hop,
    LeaseWanted,
    Mode,
    Offer,
    Outcome,
    Proxy,
    TraceJob,
    UserAgentPolicy,
    WalkResult,
)
from services.gateway.parameters import Merged, SplitUrl
from services.gateway.running import RunningClick

log = logs.get(__name__)

# A landing may wait this long to be on record; the fallback at the deadline only that long, for the visitor has waited
# enough, and the click itself is on record since it began.
_RECORD_WITHIN = 0.5
_RECORD_LATE_WITHIN = 0.02
# With less than this left, another IP would not bring the visitor to the landing page.
_LEAST_TIME = 0.1
# A record that is unfinished this long after the last moment its trace could end has no gateway any more.
_GIVE_UP_MARGIN = 15.0


class Lease(Protocol):
    """An IP that is ours inside a block."""

    lease_id: str
    fence: int
    proxy: Proxy
    expire_time: datetime

    def conclude(self, outcome: Outcome, *, reason: str = "", trace_time: float = 0.0, transferred: int = 0) -> None:
        """Says how the use went."""
        ...


class LeasePool(Protocol):
    """Lends IPs."""

    def lease(self, wanted: LeaseWanted) -> AbstractAsyncContextManager[Lease]:
        """Holds one IP while the block runs; ClicktraceError when there is none, and when it is lost."""
        ...


class Tracer(Protocol):
    """Walks chains."""

    def trace(self, job: TraceJob) -> AsyncGenerator[Hop | WalkResult, None]:
        """Yields hops, then one result; ClicktraceError when there is none."""
        ...


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


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much; times are in seconds."""

    max_wait: float
    """How long a visitor waits if the offer does not say."""
    trace_timeout: float
    """How long a trace may take in all."""
    max_attempts: int
    """How many IPs are tried for one click."""
    max_waiting: int
    """How many visitors may wait at once."""


class Clicks:
    """Serves clicks."""

    def __init__(
        self,
        *,
        offers: OfferSource,
        gate: Gate,
        pool: LeasePool,
        tracer: Tracer,
        store: ClickStore,
        background: Background,
        limits: Limits,
    ) -> None:
        """Wires the use case; every part is owned by the caller."""
        self._offers = offers
        self._gate = gate
        self._pool = pool
        self._tracer = tracer
        self._store = store
        self._background = background
        self._limits = limits
        self._waiting = 0

    async def serve(self, click: Click) -> Decision:
        """Decides what a visitor is answered with. NOT_FOUND/UNKNOWN_OFFER is the only error.

        The trace is a task of its own: it goes on when the visitor has waited long enough, or has gone.
        """
        offer = await self._offers.find(click.offer)
        running = RunningClick(click, offer, give_up_after=self._limits.trace_timeout + _GIVE_UP_MARGIN)
        reason = self._no_trace_reason(click, offer)
        if reason:
            running.not_traced()
            return await self._answer(running, self._fallback(running, reason), within=_RECORD_LATE_WITHIN)
        deadline = click.started + (offer.max_wait or self._limits.max_wait)
        self._store.put(running.record())
        self._background.start(self._pursue(running, deadline), name=f"click:{click.click_id}")
        if offer.mode is Mode.BEACON:
            return await self._answer(running, _NO_CONTENT, within=_RECORD_LATE_WITHIN)
        await self._wait(running, deadline)
        if not running.ended.is_set():
            return await self._answer(running, self._fallback(running, "MAX_WAIT"), within=_RECORD_LATE_WITHIN)
        left = deadline - asyncio.get_running_loop().time()
        within = max(_RECORD_LATE_WITHIN, min(_RECORD_WITHIN, left))
        return await self._answer(running, self._outcome(running), within=within)

    def _no_trace_reason(self, click: Click, offer: Offer) -> str:
        if click.no_trace_reason:
            return click.no_trace_reason
        if offer.mode is Mode.REDIRECT_ONLY:
            return "REDIRECT_ONLY"
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
        await self._store.durable(running.record(), within=within)
        log.info(
            "click.answered",
            click_id=click.click_id,
            offer=click.offer,
            answer=answer.kind,
            reason=answer.reason,
            wait_ms=round(wait * 1000, 1),
            hops=len(running.hops),
            exit_ip=running.exit_ip,
        )
        return Decision(click.click_id, answer.kind, merged.location, answer.reason)

    def _outcome(self, running: RunningClick) -> "_Answer":
        if running.failure or running.result is None:
            return self._fallback(running, running.failure)
        return _Answer(Answer.LANDING, landing.landing(running.offer, running.click, running.result, running.hops), "")

    def _fallback(self, running: RunningClick, reason: str) -> "_Answer":
        return _Answer(Answer.FALLBACK, landing.fallback(running.offer, running.click), reason)

    async def _pursue(self, running: RunningClick, deadline: float) -> None:
        """Brings the trace of a click to its end, and puts that on record if the visitor did not wait for it."""
        result: WalkResult | None = None
        failure = "INTERNAL_ERROR"
        try:
            async with asyncio.timeout(self._limits.trace_timeout):
                result = await self._walk(running, deadline)
            failure = landing.fault(running.offer, result)
        except ClicktraceError as error:
            failure = error.reason
        except TimeoutError:
            failure = "TRACE_TIMEOUT"
        except asyncio.CancelledError:
            failure = "SHUTTING_DOWN"
            raise
        finally:
            running.end(result, failure)
            if running.is_answered:
                self._store.put(running.record())
                log.info(
                    "click.ended",
                    click_id=running.click.click_id,
                    offer=running.offer.name,
                    reason=failure,
                    hops=len(running.hops),
                    exit_ip=running.exit_ip,
                )

    async def _walk(self, running: RunningClick, deadline: float) -> WalkResult:
        """Walks the chain; through another IP where the first one failed before any origin was reached."""
        number = 1
        while True:
            result = await self._attempt(running, number, deadline)
            left = deadline - asyncio.get_running_loop().time()
            untouched = result.blame is Blame.PROXY and not result.target_reached
            if not untouched or left < _LEAST_TIME or number >= self._limits.max_attempts:
                return result
            number += 1

    async def _attempt(self, running: RunningClick, number: int, deadline: float) -> WalkResult:
        """Walks the chain once through one IP. Raises ClicktraceError when there is no IP, or no result."""
        click, offer = running.click, running.offer
        asked = asyncio.get_running_loop().time()
        wanted = LeaseWanted(f"{click.click_id}-{number}", offer.country, offer.name, wait=max(0.0, deadline - asked))
        try:
            async with asyncio.timeout_at(deadline) as patience, self._pool.lease(wanted) as lease:
                # Nobody waits for an IP any longer than the visitor; but with one, the trace has limits of its own.
                patience.reschedule(None)
                return await self._through(lease, running, number, lease_wait=asyncio.get_running_loop().time() - asked)
        except TimeoutError:
            if not patience.expired():
                raise
            raise ClicktraceError(Code.DEADLINE_EXCEEDED, "POOL_TIMEOUT", "the pool did not answer in time") from None
        except ClicktraceError as error:
            if error.reason == "LEASE_LOST":
                running.amend_attempt(reason=error.reason)
            raise

    async def _through(self, lease: Lease, running: RunningClick, number: int, *, lease_wait: float) -> WalkResult:
        """Walks the chain through a leased IP, and says how that went, to the record and to the pool."""
        proxy = lease.proxy
        running.begin_attempt(
            Attempt(lease.lease_id, lease.fence, proxy.ip_address, proxy.ip_port, proxy.country, lease_wait)
        )
        began = asyncio.get_running_loop().time()
        outcome, reason, transferred = Outcome.CANCELLED, "INTERRUPTED", 0
        try:
            result = await self._follow(self._job(running, lease), running, number)
            outcome, reason, transferred = _OUTCOMES[result.blame], result.failure_reason, result.bytes
        except ClicktraceError as error:
            reason = error.reason
            raise
        finally:
            trace_time = asyncio.get_running_loop().time() - began
            running.end_attempt(outcome, trace_time=trace_time, reason=reason)
            lease.conclude(outcome, reason=reason, trace_time=trace_time, transferred=transferred)
        return result

    async def _follow(self, job: TraceJob, running: RunningClick, number: int) -> WalkResult:
        async with aclosing(self._tracer.trace(job)) as events:
            async for event in events:
                if isinstance(event, WalkResult):
                    return event
                running.hops.append(replace(event, attempt=number))
                log.info(
                    "click.hop",
                    click_id=job.trace_id,
                    index=event.index,
                    status=event.status,
                    kind=event.kind,
                    host=SplitUrl.of(event.url).host,
                    ms=None if event.total is None else round(event.total * 1000, 1),
                    error=event.error,
                )
        raise ClicktraceError(Code.INTERNAL, "NO_TRACE_RESULT", "the tracer ended its stream without a result")

    def _job(self, running: RunningClick, lease: Lease) -> TraceJob:
        click, offer = running.click, running.offer
        spent = asyncio.get_running_loop().time() - click.started
        as_visitor = offer.user_agent_policy is UserAgentPolicy.VISITOR
        return TraceJob(
            trace_id=click.click_id,
            url=tokens.expand(offer.tracking_url, offer, click.click_id, click.inbound),
            proxy=lease.proxy,
            lease_expire_time=lease.expire_time,
            total_timeout=max(_LEAST_TIME, self._limits.trace_timeout - spent),
            user_agent=click.user_agent if as_visitor else "",
            accept_language=click.accept_language if as_visitor else "",
        )


_OUTCOMES = {
    None: Outcome.SUCCESS,
    Blame.PROXY: Outcome.PROXY_FAILURE,
    Blame.TARGET: Outcome.TARGET_FAILURE,
    Blame.CALLER: Outcome.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer before it is on record."""

    kind: Answer
    merged: Merged
    reason: str


_NO_CONTENT = _Answer(Answer.NO_CONTENT, Merged("", ()), "BEACON")
