"""The client of the pool leaves no lease behind that nobody holds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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


@asynccontextmanager
async def client_of(pool: FakePool) -> AsyncIterator[PoolClient]:
    """Serves a pool, and gives a client of it."""
    service = Service(
        "clicktrace.pool.v1.PoolManager", lambda to: pool_pb2_grpc.add_PoolManagerServicer_to_server(pool, to)
    )
    async with (
        Server(Address("127.0.0.1", 0), [service], grace=1.0) as server,
        channel(f"127.0.0.1:{server.port}") as opened,
        PoolClient(opened, holder="test", ttl=30.0) as client,
    ):
        yield client


async def is_refused(client: PoolClient, request_id: str, *, wait: float) -> None:
    with pytest.raises(ClicktraceError, match="NO_AVAILABLE_IP"):
        async with client.lease(LeaseWanted(request_id, "us", "offer", wait=wait)):
            pass


async def given_up(pool: SlowPool, *, answer_first: bool) -> None:
    """Gives up a wait for an IP, just before or just after the answer has left the pool."""
    async with client_of(pool) as client:

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
    async with client_of(pool) as client:
        await is_refused(client, "request", wait=1.0)


@pytest.mark.parametrize("wait", [0.0, 0.000_001])
async def test_who_has_no_time_to_wait_is_refused_by_the_first_answer(wait: float) -> None:
    pool = SlowPool()
    async with client_of(pool) as client:
        await is_refused(client, "request", wait=wait)
    assert pool.waiting == []


async def test_a_caller_that_says_it_asks_again_does_whatever_is_learned_meanwhile() -> None:
    pool = SlowPool()
    pool.retry_after = 60.0
    go_on = asyncio.Event()

    async def first_of_two() -> None:
        # The second request is on its way when the first one learns that waiting is in vain.
        await (go_on.wait() if pool.calls == 1 else first)

    pool.before_answer = first_of_two
    async with client_of(pool) as client:
        first = asyncio.create_task(is_refused(client, "first", wait=5.0))
        async with asyncio.timeout(10):
            while pool.calls == 0:
                await asyncio.sleep(0)
        second = asyncio.create_task(is_refused(client, "second", wait=5.0))
        await asyncio.sleep(0)
        go_on.set()
        await second
        assert [request.request_id for request in pool.waiting if request.asks_again] == ["first", "second"]

        # Who comes later knows it, says so, and asks once.
        pool.before_answer = None
        await is_refused(client, "third", wait=5.0)
        assert len(pool.waiting) == 2
        assert [request.asks_again for request in pool.requests] == [True, True, False]
