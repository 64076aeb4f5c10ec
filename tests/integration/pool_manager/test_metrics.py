"""What a pool manager tells Prometheus: of leases, and of the pool as it stands in the database."""

import asyncio
from collections.abc import Mapping

import grpc
import pytest
from grpc import aio
from prometheus_client import REGISTRY

from clicktrace.pool.v1 import pool_pb2 as pb
from libs.common.postgres import database as connections
from services.pool_manager.capacity.snapshot import CensusTaker
from services.pool_manager.db.pool import PostgresPool
from services.pool_manager.metrics import PoolMetrics
from services.pool_manager.model.capacity import PoolCensus
from tests.integration.pool_manager.rig import Manager, serve_in_process


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


class Change:
    """How much samples grow inside the block."""

    def __init__(self, name: str, **labels: str) -> None:
        self._name, self._labels = name, labels
        self._before = value(name, **labels)

    @property
    def growth(self) -> float:
        return value(self._name, **self._labels) - self._before


def ask(number: int, country: str = "us", wait: float = 0.0) -> pb.LeaseRequest:
    request = pb.LeaseRequest(request_id=f"r{number}", country=country, offer="demo", holder="test")
    request.ttl.FromSeconds(30)
    request.wait.FromMilliseconds(int(wait * 1000))
    return request


async def fail(manager: Manager, lease: pb.Lease) -> None:
    await manager.leases.Release(
        pb.ReleaseRequest(
            lease_id=lease.lease_id, fence=lease.fence, outcome=pb.PROXY_FAILURE, failure_reason="PROXY_REFUSED"
        )
    )


async def test_grants_and_refusals_are_counted_by_country_and_result(database: str) -> None:
    async with serve_in_process(database) as manager:
        await manager.provision(1)
        granted = Change("clicktrace_pool_leases_total", country="us", provider="default", result="GRANTED")
        refused = Change("clicktrace_pool_leases_total", country="us", provider="", result="NO_AVAILABLE_IP")
        waits = Change("clicktrace_pool_lease_wait_seconds_count")
        await manager.leases.Lease(ask(1))
        with pytest.raises(aio.AioRpcError) as caught:
            await manager.leases.Lease(ask(2))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (granted.growth, refused.growth, waits.growth) == (1, 1, 1)


async def test_a_batch_counts_each_of_its_requests_once(database: str) -> None:
    async with serve_in_process(database) as manager:
        await manager.provision(2)
        granted = Change("clicktrace_pool_leases_total", country="us", provider="default", result="GRANTED")
        refused = Change("clicktrace_pool_leases_total", country="us", provider="", result="NO_AVAILABLE_IP")
        await manager.leases.BatchLease(pb.BatchLeaseRequest(requests=[ask(number) for number in range(5)]))
        assert (granted.growth, refused.growth) == (2, 3)


async def test_who_is_refused_and_asks_again_with_a_wait_counts_once(database: str) -> None:
    async with serve_in_process(database) as manager:
        await manager.provision(1)
        await manager.leases.Lease(ask(0))
        refused = Change("clicktrace_pool_leases_total", country="us", provider="", result="NO_AVAILABLE_IP")
        requests = [ask(number) for number in range(1, 5)]
        for request in requests:
            request.asks_again = True
        await manager.leases.BatchLease(pb.BatchLeaseRequest(requests=requests))
        assert refused.growth == 0
        for request in requests:
            request.wait.FromMilliseconds(50)
            with pytest.raises(aio.AioRpcError):
                await manager.leases.Lease(request)
        assert refused.growth == 4


async def test_who_is_told_that_there_never_will_be_an_ip_asks_no_more_and_counts_at_once(database: str) -> None:
    async with serve_in_process(database) as manager:
        refused = Change("clicktrace_pool_leases_total", country="us", provider="", result="NO_AVAILABLE_IP")
        request = ask(1)
        request.asks_again = True
        await manager.leases.BatchLease(pb.BatchLeaseRequest(requests=[request]))
        assert refused.growth == 1


async def test_who_waits_is_shown_and_how_long_that_took(database: str) -> None:
    async with serve_in_process(database, cooldown=0.2) as manager:
        await manager.provision(1)
        lease = (await manager.leases.Lease(ask(1))).lease
        waited = Change("clicktrace_pool_lease_wait_seconds_sum")
        waiting = asyncio.ensure_future(manager.leases.Lease(ask(2, wait=20)))
        async with asyncio.timeout(5):
            while value("clicktrace_pool_waiting", country="us") != 1:
                await asyncio.sleep(0.005)
        cooldown = Change("clicktrace_pool_cooldown_seconds_sum")
        released = Change("clicktrace_pool_releases_total", outcome="PROXY_FAILURE")
        await fail(manager, lease)
        await waiting
        assert value("clicktrace_pool_waiting", country="us") == 0
        assert waited.growth >= 0.2
        assert released.growth == 1
        assert cooldown.growth == pytest.approx(0.2, abs=0.01)


class Keeping(PoolMetrics):
    """Keeps the last census as well."""

    last: PoolCensus | None = None
    exhausted: Mapping[str, float] = {}

    def counted(self, census: PoolCensus, exhausted_in: Mapping[str, float]) -> None:
        super().counted(census, exhausted_in)
        self.last, self.exhausted = census, exhausted_in


async def test_the_pool_is_shown_by_state_and_each_quarantine_is_counted_once(database: str) -> None:
    async with (
        serve_in_process(database, cooldown=0.0, failure_limit=1) as manager,
        await connections.connect_pool(database, application_name="test") as pool,
    ):
        observer = Keeping()
        taker = CensusTaker(PostgresPool(pool, cooldown=0.0, retention=86_400), observer)
        await taker.once()
        assert observer.last is not None
        assert observer.last.rows == ()
        await manager.provision(3)
        quarantines = Change("clicktrace_pool_quarantines_total", provider="default")
        await taker.once()
        assert value("clicktrace_pool_proxies", country="us", provider="default", state="available") == 3
        assert value("clicktrace_pool_exhaustion_seconds", country="us") == float("inf")
        for number in range(2):
            await fail(manager, (await manager.leases.Lease(ask(number))).lease)
        await manager.leases.Lease(ask(3))
        # A quarantine is counted a second after it came, when no transaction can still hide another.
        async with asyncio.timeout(10):
            while quarantines.growth < 2:
                await taker.once()
                await asyncio.sleep(0.05)
        await taker.once()
        assert quarantines.growth == 2
        states = {
            state: value("clicktrace_pool_proxies", country="us", provider="default", state=state)
            for state in ("available", "in_use", "unhealthy")
        }
        assert states == {"available": 0, "in_use": 1, "unhealthy": 2}
        assert observer.exhausted == {"us": 0.0}
