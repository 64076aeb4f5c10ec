"""Every way a call can end leaves one finished, rightly marked span on each side, in one trace.

These are the cases in which the published gRPC instrumentation is wrong (see docs/decisions). The spans travel
through the real exporter to a real OTLP endpoint.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from clicktrace.pool.v1 import pool_pb2, pool_pb2_grpc
from libs.common.errors import ClicktraceError, Code
from libs.common.process.values import Address
from libs.common.rpc import tracing
from libs.common.rpc.client import channel
from libs.common.rpc.server import Server, Service
from tests.support.otlp import OtlpSink, ReceivedSpan

UNARY = "clicktrace.pool.v1.PoolManager/Lease"
STREAM = "clicktrace.pool.v1.PoolAdmin/WatchPool"


class Scripted(pool_pb2_grpc.PoolManagerServicer, pool_pb2_grpc.PoolAdminServicer):
    """Answers as its request says."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.left = asyncio.Event()

    async def Lease(self, request: pool_pb2.LeaseRequest, context: Any) -> pool_pb2.LeaseResponse:  # noqa: ARG002
        if request.request_id == "refused":
            raise ClicktraceError(Code.RESOURCE_EXHAUSTED, "NO_AVAILABLE_IP", "none is free", retry_after=2.5)
        if request.request_id == "bug":
            raise ZeroDivisionError
        if request.request_id == "hang":
            self.entered.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.left.set()
        return pool_pb2.LeaseResponse()

    async def WatchPool(
        self,
        request: pool_pb2.WatchPoolRequest,
        context: Any,  # noqa: ARG002
    ) -> AsyncIterator[pool_pb2.WatchPoolResponse]:
        try:
            for number in range(3):
                yield pool_pb2.WatchPoolResponse(deleted_proxy_ids=[number])
            if request.country == "hang":
                await asyncio.Event().wait()
        finally:
            self.left.set()


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpSink]:
    with OtlpSink() as sink:
        provider = TracerProvider(resource=Resource.create({"service.name": "test"}))
        provider.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(endpoint=sink.endpoint, insecure=True), schedule_delay_millis=20)
        )
        monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))
        yield sink
        provider.shutdown()


@pytest.fixture
async def servicer() -> AsyncIterator[tuple[Scripted, grpc.aio.Channel]]:
    scripted = Scripted()  # type: ignore[abstract]  # what it does not answer is not called
    services = [
        Service(
            "clicktrace.pool.v1.PoolManager", lambda s: pool_pb2_grpc.add_PoolManagerServicer_to_server(scripted, s)
        ),
        Service("clicktrace.pool.v1.PoolAdmin", lambda s: pool_pb2_grpc.add_PoolAdminServicer_to_server(scripted, s)),
    ]
    async with (
        Server(Address("127.0.0.1", 0), services, grace=1) as server,
        channel(f"dns:///127.0.0.1:{server.port}") as opened,
    ):
        yield scripted, opened


async def sides(sink: OtlpSink, method: str) -> tuple[ReceivedSpan, ReceivedSpan]:
    """Returns the client's and the server's span of the one call of a method, once both have come."""
    spans = [span for span in await sink.wait_for(method, method) if span.name == method]
    client, server = sorted(spans, key=lambda span: span.kind, reverse=True)
    assert (client.kind, server.kind) == (trace.SpanKind.CLIENT.value + 1, trace.SpanKind.SERVER.value + 1)
    assert server.trace_id == client.trace_id
    assert server.parent_id == client.span_id
    for span in (client, server):
        assert span.attributes["rpc.system.name"] == "grpc"
        assert span.attributes["rpc.method"] == method
    return client, server


def code(span: ReceivedSpan) -> object:
    return span.attributes["rpc.response.status_code"]


async def test_ok(sink: OtlpSink, servicer: tuple[Scripted, grpc.aio.Channel]) -> None:
    await pool_pb2_grpc.PoolManagerStub(servicer[1]).Lease(pool_pb2.LeaseRequest())
    client, server = await sides(sink, UNARY)
    assert (code(client), client.failed) == ("OK", False)
    assert (code(server), server.failed) == ("OK", False)


async def test_an_error_status_is_the_clients_error_and_the_servers_answer(
    sink: OtlpSink, servicer: tuple[Scripted, grpc.aio.Channel]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await pool_pb2_grpc.PoolManagerStub(servicer[1]).Lease(pool_pb2.LeaseRequest(request_id="refused"))
    client, server = await sides(sink, UNARY)
    assert (code(client), client.failed) == ("RESOURCE_EXHAUSTED", True)
    assert (code(server), server.failed) == ("RESOURCE_EXHAUSTED", False)
    assert client.attributes["error.type"] == "RESOURCE_EXHAUSTED"


async def test_an_unhandled_exception_is_an_error_on_both_sides(
    sink: OtlpSink, servicer: tuple[Scripted, grpc.aio.Channel]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pool_pb2_grpc.PoolManagerStub(servicer[1]).Lease(pool_pb2.LeaseRequest(request_id="bug"))
    assert "division" not in (caught.value.details() or "")
    client, server = await sides(sink, UNARY)
    assert (code(client), client.failed) == ("INTERNAL", True)
    assert (code(server), server.failed) == ("INTERNAL", True)


async def test_a_deadline(sink: OtlpSink, servicer: tuple[Scripted, grpc.aio.Channel]) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await pool_pb2_grpc.PoolManagerStub(servicer[1]).Lease(pool_pb2.LeaseRequest(request_id="hang"), timeout=0.3)
    client, server = await sides(sink, UNARY)
    assert (code(client), client.failed) == ("DEADLINE_EXCEEDED", True)
    assert (code(server), server.failed) == ("DEADLINE_EXCEEDED", True)


async def test_a_caller_that_cancels(sink: OtlpSink, servicer: tuple[Scripted, grpc.aio.Channel]) -> None:
    scripted, opened = servicer
    call = asyncio.ensure_future(
        pool_pb2_grpc.PoolManagerStub(opened).Lease(pool_pb2.LeaseRequest(request_id="hang"), timeout=30)
    )
    await scripted.entered.wait()
    call.cancel()
    async with asyncio.timeout(5):
        await scripted.left.wait()
    client, server = await sides(sink, UNARY)
    assert (code(client), client.failed) == ("CANCELLED", True)
    assert (code(server), server.failed) == ("CANCELLED", False)


async def test_a_stream_cancelled_midway(sink: OtlpSink, servicer: tuple[Scripted, grpc.aio.Channel]) -> None:
    scripted, opened = servicer
    call: Any = pool_pb2_grpc.PoolAdminStub(opened).WatchPool(pool_pb2.WatchPoolRequest(country="hang"), timeout=30)
    assert (await call.read()).deleted_proxy_ids == [0]
    call.cancel()
    async with asyncio.timeout(5):
        await scripted.left.wait()
    client, server = await sides(sink, STREAM)
    assert (code(client), client.failed) == ("CANCELLED", True)
    assert (code(server), server.failed) == ("CANCELLED", False)


async def test_a_stream_read_to_the_end(sink: OtlpSink, servicer: tuple[Scripted, grpc.aio.Channel]) -> None:
    call: Any = pool_pb2_grpc.PoolAdminStub(servicer[1]).WatchPool(pool_pb2.WatchPoolRequest(), timeout=30)
    assert [list(message.deleted_proxy_ids) async for message in call] == [[0], [1], [2]]
    client, server = await sides(sink, STREAM)
    assert (code(client), client.failed) == ("OK", False)
    assert (code(server), server.failed) == ("OK", False)
