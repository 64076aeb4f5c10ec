"""Walking the chain of a click: an IP, the walk through it, and another IP where that is allowed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import datetime
from typing import Protocol

from libs.common.errors import ClicktraceError, Code
from libs.common.process import logs
from services.gateway.clicks.state import RunningClick
from services.gateway.model import (
    Attempt,
    Blame,
    Hop,
    LeaseWanted,
    Outcome,
    Proxy,
    TraceJob,
    UserAgentPolicy,
    WalkResult,
)
from services.gateway.urls import template
from services.gateway.urls.parameters import SplitUrl

log = logs.get(__name__)

# With less than this left, another IP would not bring the visitor to the landing page.
_LEAST_TIME = 0.1
_OUTCOMES = {
    None: Outcome.SUCCESS,
    Blame.PROXY: Outcome.PROXY_FAILURE,
    Blame.TARGET: Outcome.TARGET_FAILURE,
    Blame.UNCLEAR: Outcome.UNCLEAR_FAILURE,
    Blame.CALLER: Outcome.CANCELLED,
}


class Lease(Protocol):
    """An IP that is ours inside a block."""

    lease_id: str
    fence: int
    proxy: Proxy
    expire_time: datetime

    def conclude(
        self,
        outcome: Outcome,
        *,
        reason: str = "",
        target_host: str = "",
        trace_time: float = 0.0,
        transferred: int = 0,
    ) -> None:
        """Says how the use went."""
        ...


class LeasePool(Protocol):
    """Lends IPs."""

    def lease(self, wanted: LeaseWanted) -> AbstractAsyncContextManager[Lease]:
        """Holds one IP while the block runs; ClicktraceError when there is none, and when it is lost."""
        ...


class Tracer(Protocol):
    """Walks chains."""

    async def reachable(self, within: float) -> bool:
        """Says whether there is anybody to ask, if need be after a wait of up to `within` seconds."""
        ...

    def trace(self, job: TraceJob) -> AsyncGenerator[Hop | WalkResult, None]:
        """Yields hops, then one result; ClicktraceError when there is none."""
        ...


class Walker:
    """Walks chains."""

    def __init__(self, pool: LeasePool, tracer: Tracer, *, trace_timeout: float, max_attempts: int) -> None:
        """A walk may take `trace_timeout` seconds in all, and try `max_attempts` IPs."""
        self._pool = pool
        self._tracer = tracer
        self._trace_timeout = trace_timeout
        self._max_attempts = max_attempts

    async def walk(self, running: RunningClick, deadline: float) -> WalkResult:
        """Walks the chain; through another IP where the first one failed before any origin was reached."""
        if not await self._tracer.reachable(deadline - asyncio.get_running_loop().time()):
            # An IP that is leased for nothing would rest for nothing.
            raise ClicktraceError(Code.UNAVAILABLE, "TRACER_UNAVAILABLE", "no tracer can be reached")
        number = 1
        while True:
            result = await self._attempt(running, number, deadline)
            left = deadline - asyncio.get_running_loop().time()
            untouched = result.blame in (Blame.PROXY, Blame.UNCLEAR) and not result.target_reached
            if not untouched or left < _LEAST_TIME or number >= self._max_attempts:
                return result
            number += 1

    async def _attempt(self, running: RunningClick, number: int, deadline: float) -> WalkResult:
        """Walks the chain once through one IP. Raises ClicktraceError when there is no IP, or no result."""
        click, offer = running.click, running.offer
        asked = asyncio.get_running_loop().time()
        wanted = LeaseWanted(
            f"{click.click_id}-{number}",
            offer.country,
            offer.name,
            wait=max(0.0, deadline - asked),
            click_id=click.click_id,
        )
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
        outcome, reason, target_host, transferred = Outcome.CANCELLED, "INTERRUPTED", "", 0
        try:
            result = await self._follow(self._job(running, lease), running, number)
            outcome, reason, transferred = _OUTCOMES[result.blame], result.failure_reason, result.bytes
            target_host = result.target_host
        except ClicktraceError as error:
            reason = error.reason
            raise
        finally:
            trace_time = asyncio.get_running_loop().time() - began
            running.end_attempt(outcome, trace_time=trace_time, reason=reason)
            lease.conclude(
                outcome, reason=reason, target_host=target_host, trace_time=trace_time, transferred=transferred
            )
        return result

    async def _follow(self, job: TraceJob, running: RunningClick, number: int) -> WalkResult:
        async with aclosing(self._tracer.trace(job)) as events:
            async for event in events:
                if isinstance(event, WalkResult):
                    return event
                # A copy costs as much as the hop itself, and nearly all are of the first attempt.
                running.walk.hops.append(event if event.attempt == number else event._replace(attempt=number))
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
            url=template.expand(offer.tracking_url, offer, click.click_id, click.inbound),
            proxy=lease.proxy,
            lease_expire_time=lease.expire_time,
            total_timeout=max(_LEAST_TIME, self._trace_timeout - spent),
            user_agent=click.user_agent if as_visitor else "",
            accept_language=click.accept_language if as_visitor else "",
        )
