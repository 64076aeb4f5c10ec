"""Calls are spread over the replicas that want them, and turn away from one that drains."""

import asyncio
from collections import Counter
from typing import Any

import grpc
import pytest

from clicktrace.pool.v1 import pool_pb2, pool_pb2_grpc
from libs.common.process.values import Address
from libs.common.rpc.client import channel
from libs.common.rpc.reach import Reach
from libs.common.rpc.server import Server, Service


class Replica(pool_pb2_grpc.PoolManagerServicer):
    """Says which replica it is."""

    def __init__(self, number: int) -> None:
        self.number = number

    async def Release(self, request: pool_pb2.ReleaseRequest, context: Any) -> pool_pb2.ReleaseResponse:  # noqa: ARG002
        answer = pool_pb2.ReleaseResponse()
        answer.available_time.seconds = self.number
        return answer


def replica(number: int, port: int = 0) -> Server:
    servicer = Replica(number)  # type: ignore[abstract]  # what it does not answer is not called
    name = "clicktrace.pool.v1.PoolManager"
    return Server(
        Address("127.0.0.1", port),
        [Service(name, lambda server: pool_pb2_grpc.add_PoolManagerServicer_to_server(servicer, server))],
        grace=5,
        # A call that has left its client when the server stops is cut off; so clients get the time to turn away.
        drain_delay=0.3,
    )


async def answers(stub: Any, calls: int) -> Counter[int]:
    return Counter([(await stub.Release(pool_pb2.ReleaseRequest())).available_time.seconds for _ in range(calls)])


async def until(stub: Any, replicas: set[int]) -> None:
    """Calls until just these replicas answer."""
    async with asyncio.timeout(15):
        while set(await answers(stub, 8)) != replicas:
            await asyncio.sleep(0)


async def test_calls_are_spread_over_the_replicas_and_leave_one_that_drains() -> None:
    first, second = replica(1), replica(2)
    async with first, second:
        target = f"ipv4:127.0.0.1:{first.port},127.0.0.1:{second.port}"
        async with channel(target) as opened:
            stub: Any = pool_pb2_grpc.PoolManagerStub(opened)
            await until(stub, {1, 2})
            spread = await answers(stub, 20)
            assert spread == {1: 10, 2: 10}
            await second.health.drain()
            await until(stub, {1})
            assert await answers(stub, 20) == {1: 20}


async def test_a_replica_that_stops_costs_no_call() -> None:
    first, second = replica(1), replica(2)
    async with first:
        await second.__aenter__()
        async with channel(f"ipv4:127.0.0.1:{first.port},127.0.0.1:{second.port}") as opened:
            stub: Any = pool_pb2_grpc.PoolManagerStub(opened)
            await until(stub, {1, 2})
            stopping = asyncio.ensure_future(second.__aexit__(None, None, None))
            while not stopping.done():
                assert sum((await answers(stub, 4)).values()) == 4
            await stopping


async def test_without_a_server_a_call_fails_as_unavailable_at_once() -> None:
    async with channel("dns:///127.0.0.1:1") as opened:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pool_pb2_grpc.PoolManagerStub(opened).Release(pool_pb2.ReleaseRequest())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_who_has_just_gone_is_waited_for_and_who_stays_away_is_not() -> None:
    first = replica(1)
    async with first:
        port = first.port
        async with channel(f"dns:///127.0.0.1:{port}") as opened:
            stub: Any = pool_pb2_grpc.PoolManagerStub(opened)
            assert await answers(stub, 1)
            reach = Reach(opened)
            assert await reach.wait(0)
            await first.__aexit__(None, None, None)
            with pytest.raises(grpc.aio.AioRpcError):
                await until(stub, {2})
            waiting = asyncio.create_task(reach.wait(30))
            second = replica(1, port)
            async with second:
                assert await waiting
                assert await answers(stub, 1)
            with pytest.raises(grpc.aio.AioRpcError):
                await until(stub, {2})
            assert not await reach.wait(30)
            assert not await reach.wait(30)
