"""ClickLog over gRPC: reads the click log and the health of offers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

from grpc import aio

from clicktrace.gateway.v1 import gateway_pb2 as pb
from clicktrace.gateway.v1 import gateway_pb2_grpc
from libs.common.errors import ClicktraceError, Code
from libs.common.rpc.auth import HasMetadata
from services.gateway.drift.stats import OfferHealth
from services.gateway.model import ClickFilter, ClickRecord, ClickStatus
from services.gateway.rpc import codec
from services.gateway.rpc.checks import Check, is_click_id, page_size

_Streaming: TypeAlias = "aio.ServicerContext[pb.WatchClicksRequest, pb.WatchClicksResponse]"


class ClickReader(Protocol):
    """Reads click records."""

    async def get(self, click_id: str) -> ClickRecord | None:
        """Returns the whole record of a click; None if there is none."""
        ...

    async def page(self, wanted: ClickFilter, after: str, size: int) -> Sequence[ClickRecord]:
        """Returns up to `size` clicks older than the click `after`, newest first."""
        ...


class Feed(Protocol):
    """Streams clicks as they are answered and as late traces end."""

    def watch(self, offer: str) -> AbstractContextManager[AsyncIterator[ClickRecord]]:
        """Yields the clicks of an offer, of all offers if empty, from now on."""
        ...


class HealthReader(Protocol):
    """Reads the health of offers."""

    async def page(self, after: str, size: int, *, offer: str = "", drifting: bool = False) -> Sequence[OfferHealth]:
        """Returns up to `size` offers whose names come after `after`, by name."""
        ...


class ClickLog(gateway_pb2_grpc.ClickLogServicer):
    """Implements `clicktrace.gateway.v1.ClickLog`."""

    def __init__(self, clicks: ClickReader, feed: Feed, health: HealthReader) -> None:
        """Every part is owned by the caller."""
        self._clicks = clicks
        self._feed = feed
        self._health = health

    async def GetClick(self, request: pb.GetClickRequest, _context: HasMetadata) -> pb.GetClickResponse:
        """Returns everything that was decided about one click."""
        record = await self._clicks.get(request.click_id) if is_click_id(request.click_id) else None
        if record is None:
            raise ClicktraceError(Code.NOT_FOUND, "UNKNOWN_CLICK", "there is no click of this id in the log")
        return pb.GetClickResponse(click=codec.click_message(record))

    async def ListClicks(self, request: pb.ListClicksRequest, _context: HasMetadata) -> pb.ListClicksResponse:
        """Lists clicks, newest first; the page token is the id of the last click of the previous page."""
        size = page_size(request.page_size)
        check = Check()
        check.click_page_token(request.page_token)
        check.enum("status", dict(pb.ClickStatus.items()), request.status)
        check.offer_filter("offer", request.offer)
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
            clicks=[codec.click_message(record) for record in shown],
            next_page_token=shown[-1].click_id if len(records) > size else "",
        )

    async def WatchClicks(
        self,
        request: pb.WatchClicksRequest,
        context: _Streaming,
    ) -> AsyncIterator[pb.WatchClicksResponse]:
        """Streams clicks of all gateways as they are answered and as late traces end."""
        with self._feed.watch(request.offer) as records:
            # Sent now, so that the caller knows that it misses no click from here on, even if none comes for long.
            await context.send_initial_metadata(())
            async for record in records:
                yield pb.WatchClicksResponse(click=codec.click_message(record))

    async def ListOfferHealth(
        self, request: pb.ListOfferHealthRequest, _context: HasMetadata
    ) -> pb.ListOfferHealthResponse:
        """Lists the health of offers by name; the page token is the name of the last offer of the previous page."""
        size = page_size(request.page_size)
        check = Check()
        check.offer_page_token(request.page_token)
        check.offer_filter("offer", request.offer)
        check.finish()
        page = await self._health.page(request.page_token, size + 1, offer=request.offer, drifting=request.drifting)
        shown = page[:size]
        return pb.ListOfferHealthResponse(
            offers=[codec.health_message(health) for health in shown],
            next_page_token=shown[-1].offer if len(page) > size else "",
        )
