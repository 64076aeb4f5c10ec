"""The client of the pool leaves no lease behind that nobody holds."""

import asyncio

import pytest

from clicktrace.pool.v1 import pool_pb2 as pb
from clicktrace.pool.v1 import pool_pb2_grpc
from libs.common.errors import ClicktraceError
from libs.common.process.values import Address
from libs.common.rpc.client import channel
from libs.common.rpc.server import Server, Service
from services.gateway.clients.pool import PoolClient
from services.gateway.model import LeaseWanted
from tests.integration.gateway.world import FakePool


class SlowPool(FakePool):
    """A pool without a free IP at first, that says when it is asked to let somebody wait."""

    def __init__(self) -> None:
        super().__init__()
        self.free = []
        self.retry_after = 1.0
        self.asked = asyncio.Event()

    async def Lease(self, request: pb.LeaseRequest, _context: object) -> pb.LeaseResponse:
        self.asked.set()
        return await super().Lease(request, _context)


async def given_up(pool: SlowPool, *, answer_first: bool) -> None:
    """Gives up a wait for an IP, just before or just after the answer has left the pool."""
    service = Service(
        "clicktrace.pool.v1.PoolManager", lambda to: pool_pb2_grpc.add_PoolManagerServicer_to_server(pool, to)
    )
    async with (
        Server(Address("127.0.0.1", 0), [service], grace=1.0) as server,
        channel(f"127.0.0.1:{server.port}") as opened,
        PoolClient(opened, holder="test", ttl=30.0) as client,
    ):

        async def click() -> None:
            async with client.lease(LeaseWanted("request", "us", "offer", wait=30.0)):
                raise AssertionError("nobody is there to use it")

        clicking = asyncio.create_task(click())
        await pool.asked.wait()
        if answer_first:
            await pool.put_back("10.0.0.1")
        clicking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await clicking
        await pool.put_back("10.0.0.1")
        async with asyncio.timeout(5):
            while not pool.released:
                await asyncio.sleep(0)
    assert list(pool.granted) == ["request"]
    assert list(pool.released) == ["lease-1"]
    assert [release.outcome for release in pool.released["lease-1"]] == [pb.CANCELLED]


@pytest.mark.parametrize("answer_first", [False, True], ids=["the cancel first", "the answer first"])
async def test_a_caller_who_gives_up_while_an_ip_is_waited_for_leaves_no_lease_behind(*, answer_first: bool) -> None:
    await given_up(SlowPool(), answer_first=answer_first)


async def test_a_refusal_reaches_who_waits() -> None:
    pool = SlowPool()
    pool.retry_after = 60.0
    service = Service(
        "clicktrace.pool.v1.PoolManager", lambda to: pool_pb2_grpc.add_PoolManagerServicer_to_server(pool, to)
    )
    async with (
        Server(Address("127.0.0.1", 0), [service], grace=1.0) as server,
        channel(f"127.0.0.1:{server.port}") as opened,
        PoolClient(opened, holder="test", ttl=30.0) as client,
    ):
        with pytest.raises(ClicktraceError, match="NO_AVAILABLE_IP"):
            async with client.lease(LeaseWanted("request", "us", "offer", wait=1.0)):
                pass
