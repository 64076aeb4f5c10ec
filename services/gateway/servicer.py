"""ClickLog over gRPC: tells what became of each click."""

from collections.abc import AsyncIterator
from typing import Protocol

from libs.common.errors import ClicktraceError, Code
from libs.common.pb.clicktrace.gateway.v1 import gateway_pb2 as pb
from libs.common.pb.clicktrace.gateway.v1 import gateway_pb2_grpc
from libs.common.rpc import times
from libs.common.rpc.auth import HasMetadata
from services.gateway.admin import unimplemented
from services.gateway.model import Attempt, ClickRecord, Hop, ParameterSource


class ClickReader(Protocol):
    """Where records are read."""

    async def get(self, click_id: str) -> ClickRecord | None:
        """Returns one click, whole."""
        ...


class ClickLog(gateway_pb2_grpc.ClickLogServicer):
    """Reads the click log."""

    def __init__(self, clicks: ClickReader) -> None:
        """Reads from a store that its owner closes."""
        self._clicks = clicks

    async def GetClick(self, request: pb.GetClickRequest, _context: HasMetadata) -> pb.GetClickResponse:
        """Returns everything that was decided about one click."""
        record = await self._clicks.get(request.click_id) if request.click_id.isalnum() else None
        if record is None:
            raise ClicktraceError(Code.NOT_FOUND, "UNKNOWN_CLICK", "there is no click of this id in the log")
        return pb.GetClickResponse(click=click_message(record))

    async def ListClicks(self, request: pb.ListClicksRequest, context: HasMetadata) -> pb.ListClicksResponse:
        """Is not there yet."""
        raise unimplemented("ListClicks")

    async def WatchClicks(
        self, request: pb.WatchClicksRequest, context: HasMetadata
    ) -> AsyncIterator[pb.WatchClicksResponse]:
        """Is not there yet."""
        raise unimplemented("WatchClicks")
        yield  # Makes this a stream, as the contract says.


def click_message(record: ClickRecord) -> pb.Click:
    """Renders a record."""
    return pb.Click(
        click_id=record.click_id,
        offer=record.offer,
        status=record.status,
        answer=record.answer,
        reason=record.reason,
        start_time=times.to_timestamp(record.start_time),
        visitor_wait=None if record.visitor_wait is None else times.to_duration(record.visitor_wait),
        end_time=times.to_timestamp(record.end_time) if record.end_time else None,
        inbound_query=record.inbound_query,
        location=record.location,
        final_url=record.final_url,
        stop_reason=record.stop_reason,
        attempts=[_attempt(attempt) for attempt in record.attempts],
        hops=[_hop(hop) for hop in record.hops],
        params=[_source(source) for source in record.params],
        joined_click_id=record.joined_click_id,
        otel_trace_id=record.otel_trace_id,
    )


def _attempt(attempt: Attempt) -> pb.ClickAttempt:
    return pb.ClickAttempt(
        lease_id=attempt.lease_id,
        fence=attempt.fence,
        ip_address=attempt.ip_address,
        ip_port=attempt.ip_port,
        country=attempt.country,
        lease_wait=times.to_duration(attempt.lease_wait),
        trace_time=None if attempt.trace_time is None else times.to_duration(attempt.trace_time),
        outcome=attempt.outcome or "",
        failure_reason=attempt.failure_reason,
    )


def _hop(hop: Hop) -> pb.ClickHop:
    phases = {
        name: times.to_duration(seconds)
        for name in ("dns", "connect", "tls", "first_byte", "total")
        if (seconds := getattr(hop, name)) is not None
    }
    return pb.ClickHop(
        index=hop.index,
        url=hop.url,
        status=hop.status,
        kind=hop.kind,
        next_url=hop.next_url,
        error=hop.error,
        attempt=hop.attempt,
        **phases,
    )


def _source(source: ParameterSource) -> pb.ParameterSource:
    return pb.ParameterSource(
        name=source.name,
        value=source.value,
        origin=source.origin,
        hop_index=source.hop_index,
        rule=source.rule,
    )
