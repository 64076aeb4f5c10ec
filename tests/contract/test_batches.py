"""A batch answers every item in order, and never fails whole for a bad one: the real servicer under grpcio-testing.

grpcio-testing knows no `async def`: it would hand back a coroutine that nobody awaits, with status OK. The shim below
runs each handler to its end on the loop where the servicer's connections live.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc_testing
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from clicktrace.pool.v1 import pool_pb2 as pb
from libs.common.postgres import database as db
from services.pool_manager.capacity.maintenance import Tally
from services.pool_manager.db.leases import PostgresLeases
from services.pool_manager.db.pool import PostgresPool
from services.pool_manager.inventory.credentials import Credentials
from services.pool_manager.leasing.fair_share import Shares
from services.pool_manager.leasing.service import Leasing
from services.pool_manager.metrics import PoolMetrics
from services.pool_manager.model.proxies import Protocol, ProxySpec
from services.pool_manager.rpc.pool_manager import PoolManagerServicer
from tests.integration.pool_manager.store import RECORD

SERVICE = pb.DESCRIPTOR.services_by_name["PoolManager"]


class Shim:
    """Offers the handlers of an async servicer to a runtime of threads."""

    def __init__(self, servicer: PoolManagerServicer, loop: asyncio.AbstractEventLoop) -> None:
        self._servicer = servicer
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        handler = getattr(self._servicer, name)

        def run(request: Message, context: Any) -> Message:
            answer: Message = asyncio.run_coroutine_threadsafe(handler(request, context), self._loop).result(20)
            return answer

        return run


@pytest.fixture
async def call(database: str, tmp_path: Path) -> AsyncIterator[Any]:
    """Returns a function that calls a method of PoolManager over two free IPs, and gives its answer."""
    async with await db.connect_pool(database, application_name="test") as connections:
        pool = PostgresPool(connections, cooldown=60, retention=60)
        store = PostgresLeases(database, cooldown=60, failure_limit=3)
        specs = [ProxySpec(f"10.0.0.{n}", 8080, Protocol.HTTP, "default", "us", None) for n in (1, 2)]
        await pool.provision(specs, RECORD)
        async with Leasing(store, Tally(pool), PoolMetrics(), Shares(pool, weights={}, reserve=0.0)) as leasing:
            shim = Shim(PoolManagerServicer(leasing, Credentials(tmp_path)), asyncio.get_running_loop())
            server = grpc_testing.server_from_dictionary({SERVICE: shim}, grpc_testing.strict_real_time())

            def run(method: str, request: Message) -> Any:
                rpc = server.invoke_unary_unary(SERVICE.methods_by_name[method], (), request, 10)
                response, _, code, details = rpc.termination()
                assert code.name == "OK", details
                return response

            yield lambda method, request: asyncio.to_thread(run, method, request)
        store.close()


def reason(error: status_pb2.Status) -> str:
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in error.details)
    assert info.domain == "clicktrace"
    return str(info.reason)


async def test_leases(call: Any) -> None:
    requests = [
        pb.LeaseRequest(request_id="first", country="US"),
        pb.LeaseRequest(request_id="", country="us"),
        pb.LeaseRequest(request_id="second", country="us"),
        pb.LeaseRequest(request_id="third", country="us"),
        pb.LeaseRequest(request_id="first", country="us"),
    ]
    first, bad, second, third, again = (await call("BatchLease", pb.BatchLeaseRequest(requests=requests))).results
    assert first.response.lease.proxy.ip_address != second.response.lease.proxy.ip_address
    assert again.response.lease == first.response.lease
    assert reason(bad.error) == "INVALID_REQUEST"
    assert reason(third.error) == "NO_AVAILABLE_IP"
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in third.error.details)
    assert 30 < retry.retry_delay.ToSeconds() <= 90


async def test_heartbeats_and_releases(call: Any) -> None:
    granted = await call("BatchLease", pb.BatchLeaseRequest(requests=[pb.LeaseRequest(request_id="one")]))
    lease = granted.results[0].response.lease
    invented = lease.lease_id[:-1] + ("0" if lease.lease_id[-1] != "0" else "1")

    kept, unknown = (
        await call(
            "BatchHeartbeat",
            pb.BatchHeartbeatRequest(
                requests=[
                    pb.HeartbeatRequest(lease_id=lease.lease_id, fence=lease.fence),
                    pb.HeartbeatRequest(lease_id=invented, fence=lease.fence),
                ]
            ),
        )
    ).results
    assert kept.response.expire_time.ToDatetime() > lease.expire_time.ToDatetime()
    assert reason(unknown.error) == "UNKNOWN_LEASE"

    release = pb.ReleaseRequest(lease_id=lease.lease_id, fence=lease.fence, outcome=pb.SUCCESS)
    stale = pb.ReleaseRequest(lease_id=invented, fence=lease.fence, outcome=pb.SUCCESS)
    first, lost, repeat = (
        await call("BatchRelease", pb.BatchReleaseRequest(requests=[release, stale, release]))
    ).results
    assert first.response.available_time == repeat.response.available_time
    assert reason(lost.error) == "UNKNOWN_LEASE"
