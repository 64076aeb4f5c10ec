"""Runs traces: shares the walk of the same click, or leases an IP, walks, and tries another IP where allowed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Protocol

from opentelemetry import trace as otel

from libs.common.errors import ClicktraceError, Code
from libs.common.observability import spans
from libs.common.process import logs
from services.gateway.clicks.privacy import Privacy
from services.gateway.clicks.trace import Trace, Walk
from services.gateway.model import (
    TURNED_AWAY,
    Attempt,
    Blame,
    Click,
    Hop,
    LeaseWanted,
    Outcome,
    Proxy,
    TraceJob,
    UserAgentPolicy,
    WalkResult,
)
from services.gateway.urls import destination, judging, template
from services.gateway.urls.parameters import SplitUrl

log = logs.get(__name__)

# With less time left, another IP would not bring the visitor to the landing page.
_LEAST_SECONDS = 0.1
# The wait for an IP ends this many seconds before the visitor's: the answer then says that there was none.
_ANSWER_SECONDS = 0.05
# A chain that broke may work again soon; but a visitor who reloads must not cost an IP each time.
_FAILURE_KEPT_SECONDS = 30.0
_OUTCOMES = {
    None: Outcome.SUCCESS,
    Blame.PROXY: Outcome.PROXY_FAILURE,
    Blame.TARGET: Outcome.TARGET_FAILURE,
    Blame.CALLER: Outcome.CANCELLED,
    Blame.UNCLEAR: Outcome.UNCLEAR_FAILURE,
}


class Lease(Protocol):
    """An IP that is held exclusively inside a block."""

    lease_id: str
    fence: int
    proxy: Proxy

    def set_outcome(
        self,
        outcome: Outcome,
        *,
        reason: str = "",
        trace_time: float = 0.0,
        transferred: int = 0,
        target_host: str = "",
    ) -> None:
        """Sets the outcome reported on exit; CANCELLED by default. `trace_time` in seconds, `transferred` in bytes."""
        ...


class LeasePool(Protocol):
    """Leases IPs."""

    def lease(self, wanted: LeaseWanted) -> AbstractAsyncContextManager[Lease]:
        """Holds one IP while the block runs. Raises ClicktraceError when there is none, and when it is lost."""
        ...


class Tracer(Protocol):
    """Walks chains."""

    async def reachable(self, within: float) -> bool:
        """Returns whether a tracer can be asked, after a wait of up to `within` seconds if need be."""
        ...

    def trace(self, job: TraceJob) -> AsyncGenerator[Hop | WalkResult, None]:
        """Yields hops, then one result. Raises ClicktraceError when there is no result."""
        ...


class Coalescing(Protocol):
    """Finds the clicks that are the same."""

    async def join(self, identity: str, own: Walk) -> Walk:
        """Returns the walk that an identity shares: `own` if this click leads."""
        ...

    async def conclude(self, identity: str, own: Walk, *, keep: float) -> None:
        """Ends the lead of a click; its result is shared for `keep` seconds more."""
        ...


class Landings(Protocol):
    """Records landing pages."""

    def note(self, offer: str, url: str) -> None:
        """Records a landing page of an offer."""
        ...


class Tracing:
    """Runs traces; it alone writes to them."""

    def __init__(
        self,
        pool: LeasePool,
        tracer: Tracer,
        coalescing: Coalescing,
        landings: Landings,
        *,
        privacy: Privacy,
        trace_timeout: float,
        max_attempts: int,
    ) -> None:
        """A trace may take `trace_timeout` seconds in all, and try `max_attempts` IPs."""
        self._pool = pool
        self._tracer = tracer
        self._coalescing = coalescing
        self._landings = landings
        self._privacy = privacy
        self._trace_timeout = trace_timeout
        self._max_attempts = max_attempts

    async def run(self, trace: Trace, deadline: float) -> None:
        """Takes a trace to its end, which is written into it whatever happens.

        No lease is waited for after `deadline`, when the visitor stops waiting, in seconds by the event loop's clock.
        Raises CancelledError, and unexpected exceptions.
        """
        result: WalkResult | None = None
        failure = "INTERNAL_ERROR"
        try:
            async with asyncio.timeout(self._trace_timeout):
                result = await self._walk_or_join(trace, deadline)
            failure = destination.refusal(trace.offer, result)
        except ClicktraceError as error:
            failure = error.reason
        except TimeoutError:
            failure = "TRACE_TIMEOUT"
        except asyncio.CancelledError:
            failure = "SHUTTING_DOWN"
            raise
        finally:
            trace.end(result, failure)

    async def conclude(self, trace: Trace) -> None:
        """Shares what an ended trace found with the clicks that come after it."""
        if trace.is_joined:
            return
        result = trace.result
        if result is not None and not trace.failure and result.stop_reason == judging.LANDING:
            self._landings.note(trace.offer.name, result.final_url)
        if trace.identity:
            age = asyncio.get_running_loop().time() - trace.click.started
            window = max(0.0, trace.offer.join_window - age)
            if result is None or (result.failure_reason and not result.target_reached):
                # Nothing was walked, so a second try costs nobody a second visit.
                window = 0.0
            elif trace.failure:
                window = min(window, _FAILURE_KEPT_SECONDS)
            await self._coalescing.conclude(trace.identity, trace.walk, keep=window)

    async def _walk_or_join(self, trace: Trace, deadline: float) -> WalkResult:
        if trace.identity:
            walk = await self._coalescing.join(trace.identity, trace.walk)
            if walk is not trace.walk:
                trace.walk = walk
                otel.get_current_span().add_link(spans.context_of(walk.click_id), {"clicktrace.link": "joined"})
                await walk.ended.wait()
                if walk.result is None:
                    raise ClicktraceError(Code.ABORTED, walk.failure, "the trace that this click joined found nothing")
                return walk.result
        return await self._walk(trace, deadline)

    async def _walk(self, trace: Trace, deadline: float) -> WalkResult:
        """Walks the chain; through another IP where the first one failed before any origin was reached."""
        clock = asyncio.get_running_loop().time
        if not await self._tracer.reachable(deadline - clock()):
            # An IP that is leased for nothing would cool down for nothing.
            raise ClicktraceError(Code.UNAVAILABLE, "TRACER_UNAVAILABLE", "no tracer can be reached")
        number = 1
        while True:
            result = await self._attempt(trace, number, deadline)
            may_be_the_ip = result.blame in (Blame.PROXY, Blame.UNCLEAR) and not result.target_reached
            if not may_be_the_ip or deadline - clock() < _LEAST_SECONDS or number >= self._max_attempts:
                return result
            number += 1

    async def _attempt(self, trace: Trace, number: int, deadline: float) -> WalkResult:
        """Walks the chain once through one IP. Raises ClicktraceError when there is no IP, or no result."""
        clock = asyncio.get_running_loop().time
        click, offer, asked = trace.click, trace.offer, clock()
        wanted = LeaseWanted(
            f"{click.click_id}-{number}",
            offer.country,
            offer.name,
            wait=max(0.0, deadline - asked - _ANSWER_SECONDS),
            click_id=click.click_id,
        )
        try:
            async with asyncio.timeout_at(deadline) as limit, self._pool.lease(wanted) as lease:
                # Nobody waits for an IP any longer than the visitor; but with one, the trace has limits of its own.
                limit.reschedule(None)
                return await self._through(lease, trace, number, lease_wait=clock() - asked)
        except TimeoutError:
            if not limit.expired():
                raise
            raise ClicktraceError(Code.DEADLINE_EXCEEDED, "POOL_TIMEOUT", "the pool did not answer in time") from None
        except ClicktraceError as error:
            if error.reason == "LEASE_LOST":
                trace.amend_attempt(reason=error.reason)
            raise

    async def _through(self, lease: Lease, trace: Trace, number: int, *, lease_wait: float) -> WalkResult:
        """Walks the chain through a leased IP, and reports the outcome to the trace and to the pool."""
        proxy = lease.proxy
        trace.begin_attempt(
            Attempt(lease.lease_id, lease.fence, proxy.ip_address, proxy.ip_port, proxy.country, lease_wait)
        )
        began, hops_before = asyncio.get_running_loop().time(), len(trace.walk.hops)
        outcome, reason, transferred, target_host = Outcome.CANCELLED, "INTERRUPTED", 0, ""
        try:
            result = judging.judged(trace.offer, await self._follow(self._job(trace, lease), trace, number))
            # A blame that this build does not know counts against nobody.
            outcome, reason = _OUTCOMES.get(result.blame, Outcome.UNCLEAR_FAILURE), result.failure_reason
            has_dialled = result.target_reached or len(trace.walk.hops) > hops_before
            if result.blame in (Blame.TARGET, Blame.CALLER) and not has_dialled:
                # Nothing left through the IP: there was no hop, so that not even its proxy was connected to.
                outcome = Outcome.UNUSED
            transferred, target_host = result.bytes, result.target_host
        except ClicktraceError as error:
            reason = error.reason
            if reason in TURNED_AWAY:
                outcome = Outcome.UNUSED
            raise
        finally:
            trace_time = asyncio.get_running_loop().time() - began
            trace.end_attempt(outcome, trace_time=trace_time, reason=reason)
            lease.set_outcome(
                outcome, reason=reason, trace_time=trace_time, transferred=transferred, target_host=target_host
            )
        return result

    async def _follow(self, job: TraceJob, trace: Trace, number: int) -> WalkResult:
        async with aclosing(self._tracer.trace(job)) as events:
            async for event in events:
                if isinstance(event, WalkResult):
                    return event
                trace.walk.hops.append(self._kept(event, trace.click, number))
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

    def _kept(self, hop: Hop, click: Click, number: int) -> Hop:
        """Returns a hop of the attempt `number` with what may be kept of it."""
        # A copy costs as much as the hop itself; nearly all are of the first attempt, and few have a snippet.
        if hop.attempt != number:
            hop = hop._replace(attempt=number)
        if hop.snippet:
            hop = hop._replace(snippet=self._privacy.snippet(hop.snippet, click.user_agent))
        return hop

    def _job(self, trace: Trace, lease: Lease) -> TraceJob:
        click, offer = trace.click, trace.offer
        spent = asyncio.get_running_loop().time() - click.started
        as_visitor = offer.user_agent_policy is UserAgentPolicy.VISITOR
        return TraceJob(
            trace_id=click.click_id,
            url=template.expand(offer.tracking_url, offer, click.click_id, click.inbound),
            proxy=lease.proxy,
            total_timeout=max(_LEAST_SECONDS, self._trace_timeout - spent),
            user_agent=click.user_agent if as_visitor else "",
            accept_language=click.accept_language if as_visitor else "",
        )
