"""A gateway among scripted neighbours: real sockets and real gRPC, but a pool and a tracer that fail on command.

What a network does wrong (slow, busy, broken, gone) cannot be ordered from the real services, so these two speak the
same protocol and do as a test tells them.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc import aio

from clicktrace.common.v1 import common_pb2
from clicktrace.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from clicktrace.pool.v1 import pool_pb2, pool_pb2_grpc
from clicktrace.tracer.v1 import tracer_pb2, tracer_pb2_grpc
from libs.common.errors import ClicktraceError, Code
from libs.common.process.values import Address
from libs.common.rpc import client, status, times
from libs.common.rpc.auth import require_operator
from libs.common.rpc.server import Server, Service
from services.gateway.main import Ports, gateway
from services.gateway.model import ClickRecord, ClickStatus
from services.gateway.settings import GatewaySettings
from tests.support.messages import Altered

ANY_PORT = Address("127.0.0.1", 0)
CHAIN = "http://track.example/c?aff=7"


class FakePool(pool_pb2_grpc.PoolManagerServicer):
    """A pool of `free` IPs; counts what it is asked."""

    def __init__(self) -> None:
        self.free = [f"10.0.0.{number}" for number in range(1, 101)]
        self.granted: dict[str, pool_pb2.Lease] = {}
        self.requests: list[pool_pb2.LeaseRequest] = []
        self.waiting: list[pool_pb2.LeaseRequest] = []
        self.heartbeats: list[str] = []
        self.released: dict[str, list[pool_pb2.ReleaseRequest]] = {}
        self.lost: set[str] = set()
        self.retry_after = 60.0
        self.before_answer: Callable[[], Awaitable[None]] | None = None
        self.before_beat: Callable[[], Awaitable[None]] | None = None
        self.calls = 0
        self.changed = asyncio.Condition()

    async def BatchLease(self, request: pool_pb2.BatchLeaseRequest, _context: Any) -> pool_pb2.BatchLeaseResponse:
        self.calls += 1
        if self.before_answer:
            await self.before_answer()
        return pool_pb2.BatchLeaseResponse(results=[self._grant(one) for one in request.requests])

    async def Lease(self, request: pool_pb2.LeaseRequest, _context: Any) -> pool_pb2.LeaseResponse:
        self.waiting.append(request)
        if not self.free and self.retry_after > times.to_seconds(request.wait):
            raise ClicktraceError(Code.RESOURCE_EXHAUSTED, "NO_AVAILABLE_IP", "none", retry_after=self.retry_after)
        async with self.changed:
            await self.changed.wait_for(lambda: bool(self.free))
        return self._grant(request).response

    async def BatchHeartbeat(
        self, request: pool_pb2.BatchHeartbeatRequest, _context: Any
    ) -> pool_pb2.BatchHeartbeatResponse:
        if self.before_beat:
            await self.before_beat()
        results = []
        for one in request.requests:
            self.heartbeats.append(one.lease_id)
            if one.lease_id in self.lost:
                lost = ClicktraceError(Code.FAILED_PRECONDITION, "LEASE_LOST", "gone")
                results.append(pool_pb2.HeartbeatResult(error=status.to_status(lost)))
            else:
                results.append(pool_pb2.HeartbeatResult(response=pool_pb2.HeartbeatResponse()))
        return pool_pb2.BatchHeartbeatResponse(results=results)

    async def BatchRelease(self, request: pool_pb2.BatchReleaseRequest, _context: Any) -> pool_pb2.BatchReleaseResponse:
        for one in request.requests:
            self.released.setdefault(one.lease_id, []).append(one)
        async with self.changed:
            self.changed.notify_all()
        return pool_pb2.BatchReleaseResponse(
            results=[pool_pb2.ReleaseResult(response=pool_pb2.ReleaseResponse()) for _ in request.requests]
        )

    async def Heartbeat(self, _request: pool_pb2.HeartbeatRequest, _context: Any) -> pool_pb2.HeartbeatResponse:
        raise AssertionError("heartbeats travel in batches")

    async def Release(self, _request: pool_pb2.ReleaseRequest, _context: Any) -> pool_pb2.ReleaseResponse:
        raise AssertionError("releases travel in batches")

    async def put_back(self, address: str) -> None:
        """Makes an IP free."""
        async with self.changed:
            self.free.append(address)
            self.changed.notify_all()

    async def all_released(self) -> list[pool_pb2.ReleaseRequest]:
        """Waits until every lease is back; returns the releases in the order of the leases."""
        async with self.changed, asyncio.timeout(5):
            await self.changed.wait_for(lambda: all(lease.lease_id in self.released for lease in self.granted.values()))
        return [release for releases in self.released.values() for release in releases]

    def _grant(self, request: pool_pb2.LeaseRequest) -> pool_pb2.LeaseResult:
        self.requests.append(request)
        if not self.free:
            error = ClicktraceError(Code.RESOURCE_EXHAUSTED, "NO_AVAILABLE_IP", "none", retry_after=self.retry_after)
            return pool_pb2.LeaseResult(error=status.to_status(error))
        lease = pool_pb2.Lease(
            lease_id=f"lease-{len(self.granted) + 1}",
            fence=len(self.granted) + 1,
            proxy=common_pb2.Proxy(
                ip_address=self.free.pop(0),
                ip_port=8899,
                protocol=common_pb2.HTTP,
                username="user",
                password="marker-secret",
                provider="demo",
                country="us",
            ),
        )
        self.granted[request.request_id] = lease
        return pool_pb2.LeaseResult(response=pool_pb2.LeaseResponse(lease=lease))


class FakePoolAdmin(pool_pb2_grpc.PoolAdminServicer):
    """Does maintenance for who shows the right token."""

    def __init__(self) -> None:
        self.token = ""

    async def RunMaintenance(
        self, _request: pool_pb2.RunMaintenanceRequest, context: Any
    ) -> pool_pb2.RunMaintenanceResponse:
        require_operator(context, self.token)
        return pool_pb2.RunMaintenanceResponse(statistics_rows=5, expired_leases=2, findings=["few IPs are left in us"])


Script = Callable[[tracer_pb2.TraceRequest], AsyncIterator[tracer_pb2.TraceEvent]]


class FakeTracer(tracer_pb2_grpc.TracerServicer):
    """Answers with what `script` yields."""

    def __init__(self) -> None:
        self.requests: list[tracer_pb2.TraceRequest] = []
        self.cancelled = 0
        self.script: Script = lands_on("http://shop.example/l?clickid=c1")

    async def Trace(self, request: tracer_pb2.TraceRequest, _context: Any) -> AsyncIterator[tracer_pb2.TraceEvent]:
        self.requests.append(request)
        try:
            async for event in self.script(request):
                yield event
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


def hop(index: int, url: str, *, next_url: str = "", error: str = "") -> tracer_pb2.TraceEvent:
    """A hop as the tracer tells it."""
    return tracer_pb2.TraceEvent(
        hop=common_pb2.Hop(
            index=index,
            url=url,
            status=0 if error else (302 if next_url else 200),
            next_url=next_url,
            kind=common_pb2.Hop.LOCATION if next_url else common_pb2.Hop.KIND_UNSPECIFIED,
            timing=common_pb2.Timing(total=times.to_duration(0.01)),
            error=error,
        )
    )


def landed(
    url: str,
    *,
    stop: "tracer_pb2.Result.StopReason" = tracer_pb2.Result.LANDING,
    status: int = 200,
    challenged: bool = False,
) -> tracer_pb2.TraceEvent:
    """The result of a walk that ended well."""
    result = tracer_pb2.Result(
        final_url=url, stop_reason=stop, hops=2, bytes=1_000, final_status=status, challenged=challenged
    )
    return tracer_pb2.TraceEvent(result=result)


def broke(
    reason: str,
    *,
    blame: "tracer_pb2.Failure.Blame" = tracer_pb2.Failure.TARGET,
    reached: bool = True,
    stop: "tracer_pb2.Result.StopReason" = tracer_pb2.Result.CONNECTION_ERROR,
    host: str = "",
) -> tracer_pb2.TraceEvent:
    """The result of a walk that failed."""
    failure = tracer_pb2.Failure(reason=reason, blame=blame, target_reached=reached, target_host=host)
    return tracer_pb2.TraceEvent(result=tracer_pb2.Result(final_url=CHAIN, stop_reason=stop, failure=failure))


def says(*events: tracer_pb2.TraceEvent) -> Script:
    """A walk that tells these events at once."""

    async def script(_request: tracer_pb2.TraceRequest) -> AsyncIterator[tracer_pb2.TraceEvent]:
        for event in events:
            yield event

    return script


def lands_on(url: str) -> Script:
    """A walk of two hops that ends on a page."""

    async def script(request: tracer_pb2.TraceRequest) -> AsyncIterator[tracer_pb2.TraceEvent]:
        yield hop(0, request.url, next_url=url)
        yield hop(1, url)
        yield landed(url)

    return script


def waits_for(event: asyncio.Event, then: Script) -> Script:
    """A walk that tells its first hop, and the rest only after an event."""

    async def script(request: tracer_pb2.TraceRequest) -> AsyncIterator[tracer_pb2.TraceEvent]:
        yield hop(0, request.url, next_url="http://second.example/")
        await event.wait()
        async for told in then(request):
            yield told

    return script


def in_turn(*scripts: Script) -> Script:
    """One script for each call, the last for all that follow."""
    left = list(scripts)

    async def script(request: tracer_pb2.TraceRequest) -> AsyncIterator[tracer_pb2.TraceEvent]:
        current = left.pop(0) if len(left) > 1 else left[0]
        async for event in current(request):
            yield event

    return script


def refuses(error: ClicktraceError) -> Script:
    """A tracer that takes no call."""

    async def script(request: tracer_pb2.TraceRequest) -> AsyncIterator[tracer_pb2.TraceEvent]:
        if request:
            raise error
        yield landed(request.url)

    return script


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response as it came over the wire."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes
    seconds: float

    def header(self, name: str) -> str:
        """The only header of a name; AssertionError if there is none or another."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) == 1, (name, self.headers)
        return found[0]

    @property
    def location(self) -> str:
        return self.header("Location")

    @property
    def click_id(self) -> str:
        return self.header("X-Request-Id")


async def raw(port: int, request: bytes) -> bytes:
    """Sends bytes and returns all that comes until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def parsed(answer: bytes, seconds: float = 0.0) -> Reply:
    """Reads one response."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return Reply(int(first.split()[1]), headers, body, seconds)


@dataclass
class World:
    """A gateway and its neighbours."""

    ports: Ports
    pool: FakePool
    pool_admin: FakePoolAdmin
    tracer: FakeTracer
    offers: "gateway_pb2_grpc.OfferAdminAsyncStub"
    clicks: "gateway_pb2_grpc.ClickLogAsyncStub"
    webhooks: "gateway_pb2_grpc.WebhookAdminAsyncStub"
    stop: asyncio.Event
    servers: dict[str, Server]
    others: Sequence[Ports] = ()
    """The ports of further gateways on the same database."""

    async def get(self, target: str | bytes, *headers: str, method: str = "GET", at: Ports | None = None) -> Reply:
        """Sends a request whose target goes out byte for byte."""
        octets = target if isinstance(target, bytes) else target.encode("ascii")
        lines = [method.encode() + b" " + octets + b" HTTP/1.1", b"Host: click.example", b"Connection: close"]
        began = asyncio.get_running_loop().time()
        answer = await raw(
            (at or self.ports).public, b"\r\n".join([*lines, *(h.encode("latin-1") for h in headers), b"", b""])
        )
        return parsed(answer, asyncio.get_running_loop().time() - began)

    async def click(self, query: str | bytes, *headers: str, method: str = "GET", at: Ports | None = None) -> Reply:
        """Clicks."""
        octets = query if isinstance(query, bytes) else query.encode("ascii")
        return await self.get(b"/track-hit?" + octets, *headers, method=method, at=at)

    async def offer(self, name: str = "demo", tracking_url: str = CHAIN, **fields: Any) -> gateway_pb2.Offer:
        """Creates an offer."""
        offer = gateway_pb2.Offer(name=name, tracking_url=tracking_url, **fields)
        return (await self.offers.CreateOffer(gateway_pb2.CreateOfferRequest(offer=offer))).offer

    async def record(self, click_id: str) -> gateway_pb2.Click:
        """Reads the log; under load an answer may be a moment ahead of its record."""
        async with asyncio.timeout(5):
            while True:
                try:
                    return (await self.clicks.GetClick(gateway_pb2.GetClickRequest(click_id=click_id))).click
                except aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.NOT_FOUND:
                        raise
                await asyncio.sleep(0.005)

    async def record_when(self, click_id: str, accept: Callable[[gateway_pb2.Click], bool]) -> gateway_pb2.Click:
        """Reads the log until the record is as wanted."""
        async with asyncio.timeout(5):
            while not accept(record := await self.record(click_id)):
                await asyncio.sleep(0.005)
        return record


def unfinished(click_id: str, *, give_up_in: float) -> ClickRecord:
    """The record of a click whose gateway is taken for dead in so many seconds."""
    now = datetime.now(UTC)
    return ClickRecord(
        click_id=click_id,
        version=1,
        offer="demo",
        status=ClickStatus.PENDING,
        start_time=now,
        give_up_time=now + timedelta(seconds=give_up_in),
        inbound_query="offer=demo",
    )


def _service(name: str, add: Callable[[Any, Any], None], servicer: Any) -> Service:
    return Service(name, lambda server: add(servicer, server))


@asynccontextmanager
async def world(
    database: str, *, gateways: int = 1, alter: Callable[[Message], None] | None = None, **settings: Any
) -> AsyncIterator[World]:
    """Starts a gateway, or more on the same database, among scripted neighbours.

    What these neighbours answer passes `alter` on its way out.
    """

    def told(servicer: Any) -> Any:
        return Altered(servicer, alter) if alter else servicer

    pool, tracer, stop = FakePool(), FakeTracer(), asyncio.Event()
    pool_admin = FakePoolAdmin()  # type: ignore[abstract] # What it lacks answers UNIMPLEMENTED, and nobody asks.
    pool_server = Server(
        ANY_PORT,
        [
            _service("clicktrace.pool.v1.PoolManager", pool_pb2_grpc.add_PoolManagerServicer_to_server, told(pool)),
            _service("clicktrace.pool.v1.PoolAdmin", pool_pb2_grpc.add_PoolAdminServicer_to_server, pool_admin),
        ],
        grace=5,
    )
    tracer_server = Server(
        ANY_PORT,
        [_service("clicktrace.tracer.v1.Tracer", tracer_pb2_grpc.add_TracerServicer_to_server, told(tracer))],
        grace=5,
    )
    async with pool_server, tracer_server, AsyncExitStack() as stack:
        config = GatewaySettings.model_validate(
            {
                "DATABASE_URL": database,
                "listen": ANY_PORT,
                "internal_listen": ANY_PORT,
                "grpc_listen": ANY_PORT,
                "pool_target": f"dns:///127.0.0.1:{pool_server.port}",
                "tracer_target": f"dns:///127.0.0.1:{tracer_server.port}",
                "grace": 0,
                **settings,
            }
        )
        first, *others = [await stack.enter_async_context(gateway(config, stop)) for _ in range(gateways)]
        channel = await stack.enter_async_context(client.channel(f"dns:///127.0.0.1:{first.grpc}"))
        yield World(
            first,
            pool,
            pool_admin,
            tracer,
            gateway_pb2_grpc.OfferAdminStub(channel),
            gateway_pb2_grpc.ClickLogStub(channel),
            gateway_pb2_grpc.WebhookAdminStub(channel),
            stop,
            {"pool": pool_server, "tracer": tracer_server},
            others,
        )
