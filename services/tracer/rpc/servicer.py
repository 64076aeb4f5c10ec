"""Serves `clicktrace.tracer.v1.Tracer`: admits walks and streams their events."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

from grpc import aio

from clicktrace.tracer.v1 import tracer_pb2 as pb
from clicktrace.tracer.v1 import tracer_pb2_grpc as pb_grpc
from libs.common.errors import ClicktraceError, Code
from libs.common.rpc.server import Service
from libs.common.target_policy.policy import TargetPolicy
from services.tracer import metrics
from services.tracer.follow.walk import SHUTTING_DOWN, Fetcher, Settings, Walk
from services.tracer.model.report import Hop, Result
from services.tracer.rpc import codec
from services.tracer.rpc.reporting import Report

_BUSY_RETRY_SECONDS = 1.0


class Tracer(pb_grpc.TracerServicer):
    """Serves walks; belongs to one event loop."""

    def __init__(
        self,
        fetcher: Fetcher,
        targets: TargetPolicy,
        settings: Settings,
        *,
        max_traces: int,
        allow_direct: bool,
        span_queries: bool = False,
        write_timeout: float = 30.0,
    ) -> None:
        """Prepares the service.

        Args:
            fetcher: Opens the sessions of walks.
            targets: Which targets are refused.
            settings: What all walks have in common.
            max_traces: Walks that may be under way at once.
            allow_direct: Whether walks without a proxy are allowed.
            span_queries: Whether spans show the queries of URLs.
            write_timeout: Seconds a caller may leave an event unread before its walk is cancelled.
        """
        self._fetcher = fetcher
        self._targets = targets
        self._settings = settings
        self._max_traces = max_traces
        self._allow_direct = allow_direct
        self._span_queries = span_queries
        self._write_timeout = write_timeout
        self._walks: set[Walk] = set()
        self._stopping = False

    @property
    def service(self) -> Service:
        """The registration of this service with a server."""
        name = pb.DESCRIPTOR.services_by_name["Tracer"].full_name
        return Service(name, lambda server: pb_grpc.add_TracerServicer_to_server(self, server))

    def stop_walks(self) -> None:
        """Ends every walk with a CANCELLED result, which its caller still receives, and admits no more."""
        self._stopping = True
        for walk in tuple(self._walks):
            walk.stop(SHUTTING_DOWN)

    async def Trace(  # type: ignore[override] # The stubs know only generators; the runtime takes both.
        self, request: pb.TraceRequest, context: aio.ServicerContext[Any, Any]
    ) -> None:
        """Walks a chain; see the contract."""
        asked = codec.to_request(
            request,
            now=time.monotonic(),
            call_remaining=context.time_remaining(),
            allow_direct=self._allow_direct,
        )
        self._admit()
        walk = Walk(asked, self._fetcher, self._targets, self._settings)
        observer = metrics.Observer(asked, span_queries=self._span_queries)
        self._walks.add(walk)
        metrics.BEGUN.inc()
        metrics.IN_FLIGHT.inc()
        try:
            async with (
                _Reader(context, self._write_timeout) as reader,
                Report(reader.send, hop_delay=asked.hop_delay) as report,
                aclosing(walk.events()) as events,
            ):
                async for event in events:
                    if isinstance(event, Hop):
                        observer.hop(event)
                        await report.hop(event)
                    else:
                        observer.result(event)
                        await report.result(event)
        finally:
            self._walks.discard(walk)
            metrics.IN_FLIGHT.dec()

    def _admit(self) -> None:
        if self._stopping:
            raise ClicktraceError(Code.UNAVAILABLE, "SHUTTING_DOWN", "this tracer is shutting down; ask another")
        if len(self._walks) >= self._max_traces:
            metrics.BUSY.inc()
            raise ClicktraceError(
                Code.RESOURCE_EXHAUSTED,
                "TRACER_BUSY",
                f"{self._max_traces} walks are under way, which is as many as this tracer takes",
                retry_after=_BUSY_RETRY_SECONDS,
            )


class _Reader:
    """Sends events to the caller of one walk, and cancels the walk when one stays unread too long.

    One timer watches all events of a walk; a timeout around each write costs as much CPU as building the event.
    """

    def __init__(self, context: aio.ServicerContext[Any, Any], timeout: float) -> None:
        """Waits up to `timeout` seconds for each event to be read."""
        self._context = context
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._sending_since: float | None = None
        self._gave_up = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a caller is served in a task")
        self._task = task
        self._timer = self._loop.call_later(self._timeout, self._watch)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Turns its own cancellation into DEADLINE_EXCEEDED/CALLER_NOT_READING."""
        self._timer.cancel()
        if self._gave_up and isinstance(error, asyncio.CancelledError) and self._task.uncancel() == 0:
            raise ClicktraceError(
                Code.DEADLINE_EXCEEDED, "CALLER_NOT_READING", "the caller did not take the events of its walk in time"
            ) from None

    async def send(self, event: Hop | Result, earlier: Sequence[Hop]) -> None:
        """Sends an event and the hops held back for it; returns when the transport has taken the message."""
        self._sending_since = self._loop.time()
        await self._context.write(codec.from_event(event, earlier))
        self._sending_since = None

    def _watch(self) -> None:
        now = self._loop.time()
        since = now if self._sending_since is None else self._sending_since
        if now - since >= self._timeout:
            self._gave_up = True
            self._task.cancel()
        else:
            self._timer = self._loop.call_at(since + self._timeout, self._watch)
