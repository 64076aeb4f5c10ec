"""Proves that one noisy offer cannot drain a country, that nothing is held back from an offer that is alone, and that
what others leave idle can be borrowed.
"""

import asyncio
import itertools
import time
from collections import Counter

from grpc import aio

from clicktrace.pool.v1 import pool_pb2 as pb
from libs.common.rpc.times import to_duration
from tests.integration.pool_manager.rig import Manager, serve_in_process

_numbers = itertools.count()


async def take(manager: Manager, offer: str, count: int, *, batch: bool = False) -> int:
    """Asks for `count` IPs at once, and returns how many there were."""
    requests = [
        pb.LeaseRequest(request_id=f"{offer}-{next(_numbers)}", country="us", offer=offer) for _ in range(count)
    ]
    if batch:
        results = (await manager.leases.BatchLease(pb.BatchLeaseRequest(requests=requests))).results
        return sum(result.HasField("response") for result in results)

    async def one(request: pb.LeaseRequest) -> bool:
        try:
            await manager.leases.Lease(request)
        except aio.AioRpcError:
            return False
        return True

    return sum(await asyncio.gather(*(one(request) for request in requests)))


async def test_an_offer_that_is_alone_has_it_all(database: str) -> None:
    async with serve_in_process(database, reserve=0.2) as manager:
        await manager.provision(20)
        assert await take(manager, "alone", 30) == 20


async def test_a_noisy_offer_leaves_the_reserve_to_others_and_borrows_the_rest(database: str) -> None:
    for batch in (False, True):
        async with serve_in_process(database, reserve=0.2) as manager:
            if batch:
                await manager.admin.DeleteProxies(
                    pb.DeleteProxiesRequest(filter=pb.ProxyFilter(country="us"), revoke_leases=True)
                )
            await manager.provision(21, prefix="batch" if batch else "single")
            assert await take(manager, "quiet", 1) == 1
            # Half would be its share; 4 of the 20 that are left are the reserve.
            assert await take(manager, "noisy", 40, batch=batch) == 16
            assert await take(manager, "quiet-too", 2) == 2
            assert await take(manager, "noisy", 60) == 0
            assert await take(manager, "quiet", 5) == 2


async def test_a_heavier_offer_has_a_larger_share(database: str) -> None:
    async with serve_in_process(database, reserve=0.9, weights={"heavy": 3.0}) as manager:
        await manager.provision(40)
        await take(manager, "light", 1)
        await take(manager, "heavy", 1)
        got = [await take(manager, "light", 40), await take(manager, "heavy", 40)]
        assert got == [9, 29]


async def test_a_small_pool_holds_nothing_back(database: str) -> None:
    async with serve_in_process(database, reserve=0.1) as manager:
        await manager.provision(10)
        assert await take(manager, "other", 1) == 1
        assert await take(manager, "demo", 20) == 9


async def test_who_waits_is_judged_too(database: str) -> None:
    async with serve_in_process(database, cooldown=0, reserve=0.5) as manager:
        await manager.provision(5)
        assert await take(manager, "quiet", 1) == 1
        served: Counter[str] = Counter()

        async def wait(offer: str, number: int) -> None:
            request = pb.LeaseRequest(
                request_id=f"wait-{offer}-{number}", country="us", offer=offer, wait=to_duration(2), ttl=to_duration(20)
            )
            try:
                await manager.leases.Lease(request)
            except aio.AioRpcError:
                return
            served[offer] += 1

        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(wait("noisy", number))
        # 2 of 5 are the reserve, and half of 5 is the share.
        assert served == {"noisy": 3}
        assert await take(manager, "quiet-too", 1) == 1


async def test_who_waits_is_judged_by_fresh_counts(database: str) -> None:
    async with serve_in_process(database, cooldown=0.3, reserve=0.1, failure_limit=1000) as manager:
        await manager.provision(10)
        waits: list[float] = []

        async def click(offer: str, number: int) -> None:
            """Leases as a click does whose attempts all fail at once."""
            for attempt in range(5):
                began = time.monotonic()
                request = pb.LeaseRequest(
                    request_id=f"{offer}-{number}-{attempt}", country="us", offer=offer, wait=to_duration(10)
                )
                lease = (await manager.leases.Lease(request)).lease
                waits.append(time.monotonic() - began)
                await manager.leases.Release(
                    pb.ReleaseRequest(lease_id=lease.lease_id, fence=lease.fence, outcome=pb.PROXY_FAILURE)
                )

        async with asyncio.TaskGroup() as group:
            for number, offer in enumerate(["g1", "g1", "g2", "g2"]):
                group.create_task(click(offer, number))
        # A cooldown, a count and the machine; nothing like the whole wait beside IPs that are free.
        assert max(waits) < 5, sorted(waits)[-4:]
