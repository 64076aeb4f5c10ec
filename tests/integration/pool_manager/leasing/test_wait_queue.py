"""Proves that a request can wait for an IP: in turn, woken at the moment one comes free, wherever that happens, and
never longer than it makes sense.
"""

import asyncio
import time
from collections.abc import Awaitable
from datetime import UTC, datetime

import pytest
from grpc import aio

from clicktrace.pool.v1 import pool_pb2 as pb
from libs.common.errors import ClicktraceError, Code
from libs.common.rpc.status import from_rpc_error
from libs.common.rpc.times import to_datetime, to_duration
from tests.integration.pool_manager.rig import Manager, serve_in_process
from tests.integration.pool_manager.store import Pool


def ask(
    request_id: str, *, wait: float = 5.0, country: str = "us", offer: str = "", ttl: float = 30
) -> pb.LeaseRequest:
    return pb.LeaseRequest(
        request_id=request_id, country=country, offer=offer, wait=to_duration(wait), ttl=to_duration(ttl)
    )


async def end(manager: Manager, lease: pb.Lease) -> pb.ReleaseResponse:
    return await manager.leases.Release(
        pb.ReleaseRequest(lease_id=lease.lease_id, fence=lease.fence, outcome=pb.SUCCESS)
    )


async def refusal(call: Awaitable[pb.LeaseResponse]) -> ClicktraceError:
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    error = from_rpc_error(caught.value)
    assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, "NO_AVAILABLE_IP")
    return error


async def _lease(manager: Manager, request: pb.LeaseRequest) -> pb.LeaseResponse:
    return await manager.leases.Lease(request)


async def test_a_cooldown_that_ends_wakes_the_first_in_line_at_that_moment(database: str) -> None:
    async with serve_in_process(database, cooldown=0.3) as manager:
        await manager.provision(1)
        held = (await manager.leases.Lease(ask("first"))).lease
        waiting = asyncio.ensure_future(_lease(manager, ask("second")))
        free = to_datetime((await end(manager, held)).available_time)
        granted = to_datetime((await waiting).db_time)
        assert granted >= free
        assert (granted - free).total_seconds() < 5


async def test_an_expiry_wakes_too(database: str) -> None:
    async with serve_in_process(database, cooldown=0.1) as manager:
        await manager.provision(1)
        held = await manager.leases.Lease(ask("first", ttl=1))
        granted = to_datetime((await manager.leases.Lease(ask("second"))).db_time)
        assert 0.1 <= (granted - to_datetime(held.lease.expire_time)).total_seconds() < 5


async def test_a_release_on_another_replica_wakes(database: str) -> None:
    async with (
        serve_in_process(database, cooldown=0.0) as one,
        serve_in_process(database, cooldown=0.0) as other,
    ):
        await one.provision(1)
        held = (await one.leases.Lease(ask("first"))).lease
        waiting = asyncio.ensure_future(_lease(other, ask("second")))
        await refusal(other.leases.Lease(ask("probe", wait=0)))
        free = to_datetime((await end(one, held)).available_time)
        assert (to_datetime((await waiting).db_time) - free).total_seconds() < 10


@pytest.mark.parametrize("by_hand", [False, True])
async def test_provisioning_wakes_whoever_does_it(database: str, pool: Pool, by_hand: bool) -> None:
    async with serve_in_process(database, cooldown=0.0) as manager:
        await manager.provision(1)
        await manager.leases.Lease(ask("first"))
        waiting = asyncio.ensure_future(_lease(manager, ask("second", wait=20)))
        await refusal(manager.leases.Lease(ask("probe", wait=0)))
        if by_hand:
            await pool.execute("INSERT INTO ip_rotation_pool (ip_address, ip_port, country) VALUES ('new', '1', 'us')")
        else:
            await manager.provision(1, prefix="new")
        provisioned = datetime.now(UTC)
        assert (to_datetime((await waiting).db_time) - provisioned).total_seconds() < 10


async def test_who_cannot_be_served_in_time_hears_so_at_once(manager: Manager) -> None:
    await manager.provision(1)
    await manager.leases.Lease(ask("first"))
    began = time.monotonic()
    error = await refusal(manager.leases.Lease(ask("second", wait=50)))
    assert time.monotonic() - began < 20
    assert error.retry_after is not None
    assert 88 < error.retry_after <= 90
    nowhere = await refusal(manager.leases.Lease(ask("third", wait=50, country="de")))
    assert nowhere.retry_after is None


async def test_a_wait_ends_with_the_wait_and_with_the_deadline(database: str) -> None:
    async with serve_in_process(database, cooldown=0.0) as manager:
        await manager.provision(1)
        await manager.leases.Lease(ask("first"))
        for wait, timeout in ((0.3, None), (20, 0.4)):
            began = time.monotonic()
            await refusal(manager.leases.Lease(ask("second", wait=wait), timeout=timeout))
            assert 0.2 < time.monotonic() - began < 10


async def test_first_come_first_served(database: str) -> None:
    async with serve_in_process(database, cooldown=0.0) as manager:
        await manager.provision(1)
        held = (await manager.leases.Lease(ask("first"))).lease
        served: list[str] = []

        async def wait(name: str) -> None:
            lease = (await manager.leases.Lease(ask(name))).lease
            served.append(name)
            await end(manager, lease)

        names = [f"waiter-{number}" for number in range(20)]
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(wait(name))
                # Arrivals in this order: the next one only when the server has seen this one.
                await refusal(manager.leases.Lease(ask("probe", wait=0)))
            await end(manager, held)
        assert served == names


async def test_who_does_not_wait_cannot_overtake_but_can_repeat(database: str) -> None:
    async with serve_in_process(database, cooldown=0.2) as manager:
        await manager.provision(1)
        held = (await manager.leases.Lease(ask("first"))).lease
        waiting = asyncio.ensure_future(_lease(manager, ask("waits")))
        assert (await manager.leases.Lease(ask("first", wait=0))).lease.lease_id == held.lease_id
        await end(manager, held)
        overtakers = [asyncio.ensure_future(_lease(manager, ask(f"hurries-{number}", wait=0))) for number in range(50)]
        answers = await asyncio.gather(*overtakers, return_exceptions=True)
        assert all(isinstance(answer, aio.AioRpcError) for answer in answers)
        await waiting


async def test_offers_take_turns(database: str) -> None:
    async with serve_in_process(database, cooldown=0.0, weights={"heavy": 2.0}) as manager:
        await manager.provision(1)
        held = (await manager.leases.Lease(ask("first"))).lease
        served: list[str] = []

        async def wait(name: str, offer: str) -> None:
            lease = (await manager.leases.Lease(ask(name, offer=offer))).lease
            served.append(offer)
            await end(manager, lease)

        async with asyncio.TaskGroup() as group:
            for offer, count in (("noisy", 12), ("heavy", 6), ("quiet", 3)):
                for number in range(count):
                    group.create_task(wait(f"{offer}-{number}", offer))
                    await refusal(manager.leases.Lease(ask("probe", wait=0)))
            await end(manager, held)
        # While all three wait, a weight of 2 is served twice as often; what they leave is the noisy one's.
        assert sorted(served[:12]) == sorted(["noisy"] * 3 + ["heavy"] * 6 + ["quiet"] * 3)
        assert served[12:] == ["noisy"] * 9


async def test_a_line_is_bounded(database: str) -> None:
    async with serve_in_process(database, cooldown=0.0, max_waiting=3) as manager:
        await manager.provision(1)
        held = (await manager.leases.Lease(ask("first"))).lease
        waiting = [asyncio.ensure_future(_lease(manager, ask(f"waits-{number}"))) for number in range(3)]
        await refusal(manager.leases.Lease(ask("probe", wait=0)))
        error = await refusal(manager.leases.Lease(ask("one too many")))
        assert "too many wait" in error.message
        for task in waiting:
            task.cancel()
        await end(manager, held)


async def test_a_waiter_that_gave_up_takes_nothing_with_it(database: str) -> None:
    async with serve_in_process(database, cooldown=0.0) as manager:
        await manager.provision(1)
        held = (await manager.leases.Lease(ask("first"))).lease
        gone = asyncio.ensure_future(_lease(manager, ask("gives up")))
        await refusal(manager.leases.Lease(ask("probe", wait=0)))
        gone.cancel()
        stays = asyncio.ensure_future(_lease(manager, ask("stays")))
        await end(manager, held)
        await stays
