"""`clicktrace.tracer.v1.Tracer` over gRPC: admission, and a stream of what a walk reports."""

import asyncio
import time
from contextlib import aclosing
from typing import Any

from grpc import aio

from libs.common.errors import ClicktraceError, Code
from libs.common.pb.clicktrace.tracer.v1 import tracer_pb2 as pb
from libs.common.pb.clicktrace.tracer.v1 import tracer_pb2_grpc as pb_grpc
from libs.common.rpc.server import Service
from services.tracer import messages, observing
from services.tracer.model import Hop
from services.tracer.walker import SHUTTING_DOWN, Fetcher, Guard, Settings, Walk

_BUSY_RETRY_SECONDS = 1.0


class Tracer(pb_grpc.TracerServicer):
    """Serves walks; it belongs to one event loop."""

    def __init__(
        self,
        fetcher: Fetcher,
        guard: Guard,
        settings: Settings,
        *,
        max_traces: int,
        allow_direct: bool,
        write_patience: float = 30.0,
    ) -> None:
        """Takes at most `max_traces` walks at once, and walks without a proxy only if `allow_direct`.

        A caller that leaves an event unread for `write_patience` seconds loses its walk.
        """
        self._fetcher = fetcher
        self._guard = guard
        self._settings = settings
        self._max_traces = max_traces
        self._allow_direct = allow_direct
        self._write_patience = write_patience
        self._walks: set[Walk] = set()
        self._stopping = False

    @property
    def service(self) -> Service:
        """How a server takes this in."""
        name = pb.DESCRIPTOR.services_by_name["Tracer"].full_name
        return Service(name, lambda server: pb_grpc.add_TracerServicer_to_server(self, server))

    def stop_walks(self) -> None:
        """Ends every walk with a CANCELLED result that its caller still gets, and takes no more."""
        self._stopping = True
        for walk in tuple(self._walks):
            walk.stop(SHUTTING_DOWN)

    async def Trace(  # type: ignore[override] # The stubs know only generators; the runtime takes both.
        self, request: pb.TraceRequest, context: aio.ServicerContext[Any, Any]
    ) -> None:
        """Walks a chain; see the contract. Writes the events itself, because a write that blocks must end some time."""
        asked = messages.to_request(
            request,
            now=time.monotonic(),
            call_remaining=context.time_remaining(),
            allow_direct=self._allow_direct,
        )
        self._admit()
        walk = Walk(asked, self._fetcher, self._guard, self._settings)
        self._walks.add(walk)
        observing.IN_FLIGHT.inc()
        try:
            async with aclosing(walk.events()) as events:
                async for event in events:
                    if isinstance(event, Hop):
                        observing.observe_hop(asked, event)
                    else:
                        observing.observe_result(asked, event)
                    await self._write(context, messages.from_event(event))
        finally:
            self._walks.discard(walk)
            observing.IN_FLIGHT.dec()

    async def _write(self, context: aio.ServicerContext[Any, Any], event: pb.TraceEvent) -> None:
        """Sends an event; a caller that does not read holds the walk up, but not for ever."""
        try:
            async with asyncio.timeout(self._write_patience):
                await context.write(event)
        except TimeoutError:
            raise ClicktraceError(
                Code.DEADLINE_EXCEEDED, "CALLER_NOT_READING", "the caller did not take the events of its walk in time"
            ) from None

    def _admit(self) -> None:
        if self._stopping:
            raise ClicktraceError(Code.UNAVAILABLE, "SHUTTING_DOWN", "this tracer is shutting down; ask another")
        if len(self._walks) >= self._max_traces:
            observing.BUSY.inc()
            raise ClicktraceError(
                Code.RESOURCE_EXHAUSTED,
                "TRACER_BUSY",
                f"{self._max_traces} walks are under way, which is as many as this tracer takes",
                retry_after=_BUSY_RETRY_SECONDS,
            )
