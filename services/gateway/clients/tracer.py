"""Calls the tracer: turns its stream of messages into hops and one result."""

import asyncio
from collections.abc import AsyncGenerator, Iterator

from grpc import aio

from clicktrace.common.v1 import common_pb2
from clicktrace.tracer.v1 import tracer_pb2 as pb
from clicktrace.tracer.v1 import tracer_pb2_grpc
from libs.common.enums import name_of, number_of
from libs.common.errors import ClicktraceError, Code
from libs.common.rpc import status, times
from libs.common.rpc.reach import Reach
from services.gateway.model import TURNED_AWAY, Blame, Hop, TraceJob, WalkResult
from services.gateway.urls.parameters import wire_safe

# The tracer is to report its own timeout before ours ends the call.
_MARGIN = 3.0
_BUSY_TRIES = 3
_BUSY_PAUSE = 0.05
# Nobody waits for a hop as such: what a fast chain does within this time comes in one message.
_HOP_DELAY = times.to_duration(0.3)
# What a response may add to the record of its click; each costs its length in every read of the log.
_MAX_COOKIES, _MAX_NAME = 50, 100
_STOP_REASON = pb.Result.StopReason.DESCRIPTOR
_BLAME = pb.Failure.Blame.DESCRIPTOR
_HOP_KIND = common_pb2.Hop.Kind.DESCRIPTOR


class TracerClient:
    """Asks the tracers behind one channel."""

    def __init__(self, channel: aio.Channel) -> None:
        """Works on a channel that its owner closes."""
        self._reach = Reach(channel)
        self._stub = tracer_pb2_grpc.TracerStub(channel)
        # A call that nobody holds is cancelled.
        self._ending: set[aio.UnaryStreamCall[pb.TraceRequest, pb.TraceEvent]] = set()

    async def reachable(self, within: float) -> bool:
        """Returns whether a tracer can be reached, after a wait of up to `within` seconds if need be."""
        return await self._reach.wait(within)

    async def trace(self, job: TraceJob) -> AsyncGenerator[Hop | WalkResult, None]:
        """Yields each hop when it is known, and one result at the end. Closing the iterator ends the walk.

        Raises ClicktraceError when there is no result: TRACER_BUSY when no tracer would take it (nothing was walked),
        TRACER_UNAVAILABLE or TRACER_TIMEOUT when the tracer went away (something may have been walked).
        """
        request = _request(job)
        for attempt in range(1, _BUSY_TRIES + 1):
            call = self._stub.Trace(request, timeout=job.total_timeout + _MARGIN)
            begun = ended = False
            try:
                # Not `async for`: a generator of the runtime that is left before its end costs a task to close it.
                while isinstance(event := await call.read(), pb.TraceEvent):
                    begun = True
                    for told in _told(event):
                        ended = isinstance(told, WalkResult)
                        yield told
            except aio.AioRpcError as rpc_error:
                error = _translated(status.from_rpc_error(rpc_error))
                # What a tracer says after its result changes nothing any more.
                if not ended and (begun or error.reason not in TURNED_AWAY or attempt == _BUSY_TRIES):
                    raise error from None
            else:
                if not ended:
                    raise ClicktraceError(Code.INTERNAL, "NO_TRACE_RESULT", "the tracer sent no result")
            finally:
                self._part(call, ended=ended)
            if ended:
                return
            # The next call goes to the next replica, so a short pause is enough.
            await asyncio.sleep(_BUSY_PAUSE * attempt)

    def _part(self, call: "aio.UnaryStreamCall[pb.TraceRequest, pb.TraceEvent]", *, ended: bool) -> None:
        """Abandons a call whose remaining messages are not needed."""
        if ended and not call.done():
            # The tracer is about to end it by itself, and nobody waits for that; cancelled, a walk that went well would
            # look like one that was given up. Its deadline bounds it.
            self._ending.add(call)
            call.add_done_callback(self._ending.discard)
        else:
            call.cancel()


def _translated(error: ClicktraceError) -> ClicktraceError:
    """Translates transport errors to TRACER_UNAVAILABLE and TRACER_TIMEOUT."""
    if error.reason == Code.UNAVAILABLE.name:
        return ClicktraceError(error.code, "TRACER_UNAVAILABLE", "no tracer can be reached, or it went away")
    if error.reason == Code.DEADLINE_EXCEEDED.name:
        return ClicktraceError(error.code, "TRACER_TIMEOUT", "the tracer did not end the walk in time")
    return error


def _request(job: TraceJob) -> pb.TraceRequest:
    proxy = job.proxy
    return pb.TraceRequest(
        trace_id=job.trace_id,
        url=job.url,
        proxy=common_pb2.Proxy(
            ip_address=proxy.ip_address,
            ip_port=proxy.ip_port,
            protocol=number_of(common_pb2.Protocol.DESCRIPTOR, proxy.protocol),
            username=proxy.username,
            password=proxy.password,
            provider=proxy.provider,
            country=proxy.country,
        ),
        # Heartbeats keep the lease for as long as the walk may take, and losing it cancels the call. The end of the
        # lease as granted would cut every walk that is longer than one TTL.
        lease_remaining=times.to_duration(job.total_timeout + _MARGIN),
        limits=pb.Limits(total_timeout=times.to_duration(job.total_timeout)),
        headers=pb.RequestHeaders(user_agent=job.user_agent, accept_language=job.accept_language),
        hop_delay=_HOP_DELAY,
    )


def _told(event: pb.TraceEvent) -> Iterator[Hop | WalkResult]:
    yield from map(_hop, event.earlier_hops)
    if event.HasField("hop"):
        yield _hop(event.hop)
    elif event.HasField("result"):
        yield _result(event.result)


def _hop(hop: common_pb2.Hop) -> Hop:
    timing = hop.timing
    return Hop(
        index=hop.index,
        url=_clean(hop.url),
        status=hop.status,
        kind=name_of(_HOP_KIND, hop.kind),
        next_url=_clean(hop.next_url),
        dns=_seconds(timing, "dns"),
        connect=_seconds(timing, "connect"),
        tls=_seconds(timing, "tls"),
        first_byte=_seconds(timing, "first_byte"),
        total=_seconds(timing, "total"),
        error=hop.error,
        remote_address=hop.remote_address,
        http_version=hop.http_version,
        tls_version=hop.tls_version,
        bytes=hop.bytes,
        set_cookie_names=tuple(_storable(name)[:_MAX_NAME] for name in hop.set_cookie_names[:_MAX_COOKIES]),
        snippet=_storable(hop.snippet),
    )


def _result(result: pb.Result) -> WalkResult:
    stop_reason = name_of(_STOP_REASON, result.stop_reason)
    final_url = _clean(result.final_url)
    total_time = times.to_seconds(result.total_time)
    ended = WalkResult(
        final_url,
        stop_reason,
        total_time,
        result.bytes,
        final_status=result.final_status,
        forwarded=result.forwarded,
        challenged=result.challenged,
    )
    if not result.HasField("failure"):
        # Whatever the stop reason is called: a newer tracer may have more ways to end well.
        return ended
    failure = result.failure
    return ended._replace(
        failure_reason=failure.reason or stop_reason or "INTERNAL",
        # A failure that blames nobody must not count against an IP, and must not be tried again.
        blame=Blame(name_of(_BLAME, failure.blame)) if failure.blame else Blame.TARGET,
        target_reached=failure.target_reached if failure.blame else True,
        target_host=failure.target_host,
    )


def _seconds(timing: common_pb2.Timing, phase: str) -> float | None:
    return times.to_seconds(getattr(timing, phase)) if timing.HasField(phase) else None


def _storable(text: str) -> str:
    """Returns text that can go into the database, which takes every character but U+0000."""
    return text.replace("\0", "\ufffd")


def _clean(url: str) -> str:
    """Returns a URL that can go into a header and into the database, whatever the chain sent."""
    return wire_safe(url.encode())
