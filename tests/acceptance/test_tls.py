"""`make run TLS=1`: the whole system speaks mutual TLS, and lets nobody in who shows nothing, or shows too little."""

from collections.abc import Iterator

import pytest
from grpc import aio

from libs.common.errors import Code
from libs.common.pb.clicktrace.gateway.v1 import gateway_pb2
from libs.common.pb.clicktrace.pool.v1 import pool_pb2, pool_pb2_grpc
from libs.common.pb.clicktrace.tracer.v1 import tracer_pb2, tracer_pb2_grpc
from libs.common.rpc import tls
from libs.common.rpc.client import channel
from libs.common.rpc.status import from_rpc_error
from tests.support.system import System, state_directory


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """Runs the system with certificates."""
    with state_directory() as state, System(state, ("--tls", "--cooldown", "1s")) as system:
        yield system


def channel_of(system: System, identity: str | None, port: str) -> aio.Channel:
    files = tls.Files(system.state / "tls" / identity) if identity else None
    return channel(f"dns:///127.0.0.1:{system.ports[port]}", files=files)


async def test_a_click_passes_through_all_three(system: System) -> None:
    answer = await system.click("offer=demo&gclid=secured")
    assert answer.params["gclid"] == "secured"
    assert "clickid" in answer.params
    assert (await system.ended(answer.click_id)).status == gateway_pb2.COMPLETED


async def refusal_of_lease(system: System, identity: str | None) -> Code:
    async with channel_of(system, identity, "pool") as opened:
        stub = pool_pb2_grpc.PoolManagerStub(opened)
        with pytest.raises(aio.AioRpcError) as caught:
            await stub.Lease(pool_pb2.LeaseRequest(request_id="mine", holder="nobody"), timeout=10)
        return from_rpc_error(caught.value).code


async def refusal_of_trace(system: System, identity: str | None) -> Code:
    async with channel_of(system, identity, "tracer") as opened:
        stub = tracer_pb2_grpc.TracerStub(opened)
        with pytest.raises(aio.AioRpcError) as caught:
            await stub.Trace(tracer_pb2.TraceRequest(url="http://shop.demo.localhost/"), timeout=10).read()
        return from_rpc_error(caught.value).code


@pytest.mark.parametrize("identity", ["operator", "tracer", "pool-manager"])
async def test_only_gateways_may_lease_and_trace(system: System, identity: str) -> None:
    assert await refusal_of_lease(system, identity) is Code.PERMISSION_DENIED
    assert await refusal_of_trace(system, identity) is Code.PERMISSION_DENIED


async def test_who_shows_nothing_is_not_heard(system: System) -> None:
    assert await refusal_of_lease(system, None) is Code.UNAVAILABLE
    assert await refusal_of_trace(system, None) is Code.UNAVAILABLE


async def test_only_operators_may_administrate(system: System) -> None:
    async with channel_of(system, "gateway", "pool") as opened:
        stub = pool_pb2_grpc.PoolAdminStub(opened)
        with pytest.raises(aio.AioRpcError) as caught:
            await stub.RunMaintenance(pool_pb2.RunMaintenanceRequest(), timeout=10)
    error = from_rpc_error(caught.value)
    assert (error.code, error.reason) == (Code.PERMISSION_DENIED, "OPERATOR_REQUIRED")
    async with channel_of(system, "operator", "pool") as opened:
        await pool_pb2_grpc.PoolAdminStub(opened).RunMaintenance(pool_pb2.RunMaintenanceRequest(), timeout=10)
