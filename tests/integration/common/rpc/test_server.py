"""A server says when it is ready, drains without losing a call, and answers with typed errors."""

import asyncio
import socket
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from clicktrace.pool.v1 import pool_pb2, pool_pb2_grpc
from libs.common.errors import ClicktraceError, Code
from libs.common.process.values import Address
from libs.common.rpc import status
from libs.common.rpc.auth import require_operator
from libs.common.rpc.client import channel
from libs.common.rpc.server import Server, Service
from tests.integration.common.rpc.test_tls import listed, look

NAME = "clicktrace.pool.v1.PoolManager"


class Scripted(pool_pb2_grpc.PoolManagerServicer):
    """Holds each call until it is let go."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.let_go = asyncio.Event()

    async def Lease(self, request: pool_pb2.LeaseRequest, context: Any) -> pool_pb2.LeaseResponse:
        self.entered.set()
        if request.holder == "operator":
            require_operator(context, "right")
        if request.request_id == "wait":
            await self.let_go.wait()
        elif request.request_id == "refused":
            raise ClicktraceError(Code.RESOURCE_EXHAUSTED, "NO_AVAILABLE_IP", "none is free", retry_after=2.5)
        return pool_pb2.LeaseResponse()


def scripted_servicer() -> Scripted:
    return Scripted()  # type: ignore[abstract]  # what it does not answer is not called


def serve(scripted: Scripted, **options: Any) -> Server:
    add = lambda server: pool_pb2_grpc.add_PoolManagerServicer_to_server(scripted, server)  # noqa: E731
    return Server(Address("127.0.0.1", 0), [Service(NAME, add)], **options)


async def health_of(opened: grpc.aio.Channel, name: str) -> int:
    stub: Any = health_pb2_grpc.HealthStub(opened)
    response: health_pb2.HealthCheckResponse = await stub.Check(health_pb2.HealthCheckRequest(service=name))
    return response.status


async def test_health_tells_liveness_from_readiness() -> None:
    async with serve(scripted_servicer()) as server, channel(f"dns:///127.0.0.1:{server.port}") as opened:
        for name in ("", "liveness", "readiness", NAME):
            assert await health_of(opened, name) == health_pb2.HealthCheckResponse.SERVING
        await server.health.set_ready(False)
        assert await health_of(grpc.aio.insecure_channel(f"127.0.0.1:{server.port}"), "liveness") == 1
        assert await health_of(grpc.aio.insecure_channel(f"127.0.0.1:{server.port}"), "readiness") == 2


async def test_reflection_lists_every_service_and_can_be_turned_off() -> None:
    async with serve(scripted_servicer()) as server, channel(f"dns:///127.0.0.1:{server.port}") as opened:
        assert {NAME, "grpc.health.v1.Health"} <= await listed(opened)
    async with (
        serve(scripted_servicer(), reflection=False) as server,
        channel(f"dns:///127.0.0.1:{server.port}") as opened,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await look(opened)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_raised_error_arrives_with_its_details() -> None:
    async with serve(scripted_servicer()) as server, channel(f"dns:///127.0.0.1:{server.port}") as opened:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pool_pb2_grpc.PoolManagerStub(opened).Lease(pool_pb2.LeaseRequest(request_id="refused"))
        error = status.from_rpc_error(caught.value)
        assert (error.code, error.reason, error.retry_after) == (Code.RESOURCE_EXHAUSTED, "NO_AVAILABLE_IP", 2.5)


async def test_a_draining_server_finishes_its_calls_while_a_watcher_hangs_on() -> None:
    scripted = scripted_servicer()
    server = serve(scripted, grace=60)
    await server.__aenter__()
    async with channel(f"dns:///127.0.0.1:{server.port}") as opened:
        stub = pool_pb2_grpc.PoolManagerStub(opened)
        running = asyncio.ensure_future(stub.Lease(pool_pb2.LeaseRequest(request_id="wait"), timeout=30))
        await scripted.entered.wait()
        watch = health_pb2_grpc.HealthStub(opened).Watch(  # type: ignore[attr-defined]  # the stubs forget it
            health_pb2.HealthCheckRequest(service="")
        )
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        draining = asyncio.ensure_future(server.__aexit__(None, None, None))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert not running.done()
        scripted.let_go.set()
        assert await running == pool_pb2.LeaseResponse()
        # The watcher never leaves by itself; waiting for it would take the whole grace.
        async with asyncio.timeout(10):
            await draining


async def test_a_call_beyond_the_grace_is_cancelled() -> None:
    scripted = scripted_servicer()
    server = serve(scripted, grace=0.2)
    await server.__aenter__()
    async with channel(f"dns:///127.0.0.1:{server.port}") as opened:
        stub = pool_pb2_grpc.PoolManagerStub(opened)
        running = asyncio.ensure_future(stub.Lease(pool_pb2.LeaseRequest(request_id="wait"), timeout=30))
        await scripted.entered.wait()
        async with asyncio.timeout(10):
            await server.__aexit__(None, None, None)
        with pytest.raises(grpc.aio.AioRpcError):
            await running


async def test_a_unary_call_gets_a_deadline_though_it_names_none() -> None:
    scripted = scripted_servicer()
    async with (
        serve(scripted) as server,
        channel(f"dns:///127.0.0.1:{server.port}", default_timeout=0.2) as opened,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pool_pb2_grpc.PoolManagerStub(opened).Lease(pool_pb2.LeaseRequest(request_id="wait"))
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = Server(Address("127.0.0.1", taken.getsockname()[1]), [])
        with pytest.raises(OSError, match="is something else using the port"):
            await server.__aenter__()


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ((), "OPERATOR_TOKEN_REQUIRED"),
        ((("authorization", "Bearer wrong"),), "WRONG_OPERATOR_TOKEN"),
        ((("authorization", "right"),), "WRONG_OPERATOR_TOKEN"),
        ((("authorization", "Bearer right"),), None),
    ],
)
async def test_the_operator_token(metadata: tuple[tuple[str, str], ...], reason: str | None) -> None:
    async with serve(scripted_servicer()) as server, channel(f"dns:///127.0.0.1:{server.port}") as opened:
        call = pool_pb2_grpc.PoolManagerStub(opened).Lease(pool_pb2.LeaseRequest(holder="operator"), metadata=metadata)
        if reason is None:
            await call
        else:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert status.from_rpc_error(caught.value).reason == reason


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ([], Code.UNAUTHENTICATED),
        ([("authorization", "Bearer wrong")], Code.PERMISSION_DENIED),
        ([("authorization", "Bearer right")], None),
    ],
)
async def test_every_call_of_a_protected_service_needs_the_token(
    metadata: list[tuple[str, str]], code: Code | None
) -> None:
    add = lambda server: pool_pb2_grpc.add_PoolManagerServicer_to_server(scripted_servicer(), server)  # noqa: E731
    server = Server(Address("127.0.0.1", 0), [Service(NAME, add, token="right")])
    async with server, channel(f"dns:///127.0.0.1:{server.port}") as opened:
        stub: Any = pool_pb2_grpc.PoolManagerStub(opened)
        call = stub.Lease(pool_pb2.LeaseRequest(), metadata=metadata)
        assert (await call.code()).value[0] == (code.value if code else 0)
        # Probes and grpcurl's questions carry no token.
        assert await health_of(opened, "") == health_pb2.HealthCheckResponse.SERVING
