"""ClickLog over gRPC: tells what became of each click."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio

from clicktrace.gateway.v1 import gateway_pb2 as pb
from clicktrace.gateway.v1 import gateway_pb2_grpc
from libs.common.errors import ClicktraceError, Code
from libs.common.rpc import times
from libs.common.rpc.auth import HasMetadata
from services.gateway.drift.shape import Drift
from services.gateway.drift.stats import PERIOD_SECONDS, OfferHealth
from services.gateway.model import Attempt, ClickFilter, ClickRecord, ClickStatus, Hop, ParameterSource
from services.gateway.rpc.checks import Check
from services.gateway.rpc.offer_admin import page_size

_Streaming: TypeAlias = "aio.ServicerContext[pb.WatchClicksRequest, pb.WatchClicksResponse]"


class ClickReader(Protocol):
    """Where records are read."""

    async def get(self, click_id: str) -> ClickRecord | None:
        """Returns one click, whole."""
        ...

    async def page(self, wanted: ClickFilter, after: str, size: int) -> Sequence[ClickRecord]:
        """Returns clicks older than the click `after`, newest first."""
        ...


class Feed(Protocol):
    """Tells of clicks as they happen."""

    def watch(self, offer: str) -> AbstractContextManager[AsyncIterator[ClickRecord]]:
        """Gives clicks of an offer, of all if empty, from now on."""
        ...


class Healths(Protocol):
    """Knows how offers fare."""

    async def page(self, after: str, size: int, *, offer: str = "", drifting: bool = False) -> Sequence[OfferHealth]:
        """Returns offers by name, after a name."""
        ...


class ClickLog(gateway_pb2_grpc.ClickLogServicer):
    """Reads the click log."""

    def __init__(self, clicks: ClickReader, feed: Feed, healths: Healths) -> None:
        """Reads from a store that its owner closes."""
        self._clicks = clicks
        self._feed = feed
        self._healths = healths

    async def GetClick(self, request: pb.GetClickRequest, _context: HasMetadata) -> pb.GetClickResponse:
        """Returns everything that was decided about one click."""
        record = await self._clicks.get(request.click_id) if _is_id(request.click_id) else None
        if record is None:
            raise ClicktraceError(Code.NOT_FOUND, "UNKNOWN_CLICK", "there is no click of this id in the log")
        return pb.GetClickResponse(click=click_message(record))

    async def ListClicks(self, request: pb.ListClicksRequest, _context: HasMetadata) -> pb.ListClicksResponse:
        """Lists clicks, newest first; the page token is the id of the last click of the page before."""
        size = page_size(request.page_size)
        check = Check()
        check.that(_is_id(request.page_token, empty=True), "page_token", "must be that of the page before")
        check.that(request.status in pb.ClickStatus.values(), "status", "has no such value")
        check.that(_is_name(request.offer), "offer", "must be the name of an offer")
        check.that(len(request.reason) <= 64 and request.reason.isprintable(), "reason", "must be a reason")
        since = check.time("since", request.since if request.HasField("since") else None)
        until = check.time("until", request.until if request.HasField("until") else None)
        check.finish()
        wanted = ClickFilter(
            offer=request.offer,
            status=ClickStatus(pb.ClickStatus.Name(request.status)) if request.status else "",
            reason=request.reason,
            since=since,
            until=until,
        )
        records = await self._clicks.page(wanted, request.page_token, size + 1)
        shown = records[:size]
        return pb.ListClicksResponse(
            clicks=[click_message(record) for record in shown],
            next_page_token=shown[-1].click_id if len(records) > size else "",
        )

    async def WatchClicks(
        self,
        request: pb.WatchClicksRequest,
        context: _Streaming,
    ) -> AsyncIterator[pb.WatchClicksResponse]:
        """Streams clicks of all gateways as they are answered and as late traces end."""
        with self._feed.watch(request.offer) as records:
            # Tells the caller that from now on no click is missed; otherwise it would learn so from the first one.
            await context.send_initial_metadata(())
            async for record in records:
                yield pb.WatchClicksResponse(click=click_message(record))

    async def ListOfferHealth(
        self, request: pb.ListOfferHealthRequest, _context: HasMetadata
    ) -> pb.ListOfferHealthResponse:
        """Lists how offers fare; the page token is the name of the last offer of the page before."""
        size = page_size(request.page_size)
        check = Check()
        check.that(_is_name(request.page_token), "page_token", "must be that of the page before")
        check.that(_is_name(request.offer), "offer", "must be the name of an offer")
        check.finish()
        healths = await self._healths.page(request.page_token, size + 1, offer=request.offer, drifting=request.drifting)
        shown = healths[:size]
        return pb.ListOfferHealthResponse(
            offers=[health_message(health) for health in shown],
            next_page_token=shown[-1].offer if len(healths) > size else "",
        )


def _is_name(text: str) -> bool:
    return len(text) <= 64 and (not text or text.isprintable())


def _is_id(text: str, *, empty: bool = False) -> bool:
    return bool(re.fullmatch(r"[0-9a-f]{32}", text)) or (empty and not text)


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


def health_message(health: OfferHealth) -> pb.OfferHealth:
    """Renders how an offer fares."""
    return pb.OfferHealth(
        offer=health.offer,
        period=times.to_duration(PERIOD_SECONDS),
        clicks=health.clicks,
        fallbacks=health.fallbacks,
        fallback_share=health.fallback_share,
        traces=health.traces,
        trace_time_p50=_span(health.trace_time(0.5)),
        trace_time_p90=_span(health.trace_time(0.9)),
        trace_time_p99=_span(health.trace_time(0.99)),
        drifts=[_drift(drift) for drift in health.drifts],
        last_landing_url=health.last_landing,
        last_landing_time=_moment(health.last_landing_time) if health.last_landing else None,
        shape=pb.ChainShape(
            chains=health.shape.chains,
            hops=_parts(health.shape.hops),
            landing_hosts=_parts(health.shape.landing_hosts),
            params=_parts(health.shape.params),
        ),
    )


def _drift(drift: Drift) -> pb.ChainDrift:
    return pb.ChainDrift(
        kind=drift.deviation.kind,
        subject=drift.deviation.subject,
        detail=drift.deviation.detail,
        first_time=_moment(drift.first),
        last_time=_moment(drift.last),
        chains=drift.chains,
    )


def _parts(shares: Mapping[str, float]) -> list[pb.UsualPart]:
    return [
        pb.UsualPart(name=name, share=share)
        for name, share in sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    ]


def _span(seconds: float | None) -> Duration | None:
    return None if seconds is None else times.to_duration(seconds)


def _moment(seconds: float) -> Timestamp:
    return times.to_timestamp(datetime.fromtimestamp(seconds, UTC))


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
