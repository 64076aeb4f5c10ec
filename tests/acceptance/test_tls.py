"""`make run TLS=1`: the whole system speaks mutual TLS, and lets nobody in who shows nothing, or shows too little."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2

from clicktrace.gateway.v1 import gateway_pb2
from clicktrace.pool.v1 import pool_pb2, pool_pb2_grpc
from clicktrace.tracer.v1 import tracer_pb2, tracer_pb2_grpc
from libs.common.errors import Code
from libs.common.rpc import tls
from libs.common.rpc.client import channel
from libs.common.rpc.status import from_rpc_error
from local.ports import free_ports
from local.run.plan import IDENTITIES
from local.run.readiness import GrpcHealth, HttpOk
from local.tools.authority import Authority
from tests.integration.common.rpc.test_tls import listed, look
from tests.support.processes import ServiceProcess
from tests.support.system import ROOT, System, state_directory

# One system for all of them.
pytestmark = pytest.mark.xdist_group("tls")

PROBED = ("POOL", "TRACER", "GATEWAY")
TOKEN = "open sesame"


@pytest.fixture(scope="module")
def probes() -> dict[str, str]:
    """Returns where each service is to serve its health in plaintext."""
    return {name: f"127.0.0.1:{port}" for name, port in zip(PROBED, free_ports(len(PROBED)), strict=True)}


@pytest.fixture(scope="module")
def tracer_admin() -> str:
    """Returns where the tracer is to describe itself."""
    return f"127.0.0.1:{free_ports(1)[0]}"


@pytest.fixture(scope="module")
def system(probes: dict[str, str], tracer_admin: str) -> Iterator[System]:
    """Runs the system with certificates."""
    environment = {f"{name}_HEALTH_LISTEN": address for name, address in probes.items()}
    environment["TRACER_ADMIN_LISTEN"] = tracer_admin
    with state_directory() as state, System(state, ("--tls", "--cooldown", "1s"), environment) as system:
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


@pytest.mark.parametrize("name", PROBED)
async def test_probes_need_no_certificate(system: System, probes: dict[str, str], name: str) -> None:
    assert system.process.poll() is None
    async with aio.insecure_channel(probes[name]) as opened:
        check = opened.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        for service in ("liveness", "readiness"):
            answer = await check(health_pb2.HealthCheckRequest(service=service), timeout=10)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_tracer_describes_itself_on_a_port_of_its_own(system: System, tracer_admin: str) -> None:
    files = tls.Files(system.state / "tls" / "operator")
    async with channel(f"dns:///{tracer_admin}", files=files, identity="tracer") as admin:
        assert "clicktrace.tracer.v1.Tracer" in await listed(admin)
    async with channel_of(system, "operator", "tracer") as main:
        with pytest.raises(aio.AioRpcError) as caught:
            await look(main)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def run_with(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_operators_commands_show_a_certificate(system: System, tmp_path: Path) -> None:
    target = f"127.0.0.1:{system.ports['pool']}"
    status = run_with("local.tools.ask", "status", POOL=target, TLS_DIR=str(system.state / "tls" / "operator"))
    assert status.returncode == 0, status.stderr
    (tmp_path / "proxies.csv").write_text("ip_address,ip_port,country,provider\n203.0.113.9,8000,fr,demo\n")
    command = ("services.pool_manager", "provision", str(tmp_path / "proxies.csv"), "--dry-run")
    for identity, code in (("operator", 0), ("gateway", 1)):
        done = run_with(*command, POOL_TARGET=target, POOL_TLS_DIR=str(system.state / "tls" / identity))
        assert done.returncode == code, done.stdout + done.stderr
    assert "OPERATOR_REQUIRED" in done.stderr


async def test_administration_on_a_port_of_its_own(system: System) -> None:
    """A second pool manager has one; a second gateway finds it there, and hands the operator's token on."""
    names = ("pool", "admin", "health", "http", "internal", "grpc")
    at = {name: f"127.0.0.1:{port}" for name, port in zip(names, free_ports(len(names)), strict=True)}
    url = (system.state / "database-url").read_text().strip()
    pool = {
        "DATABASE_URL": url,
        "POOL_LISTEN": at["pool"],
        "POOL_ADMIN_LISTEN": at["admin"],
        "POOL_HEALTH_LISTEN": at["health"],
        "POOL_OPERATOR_TOKEN": TOKEN,
        "POOL_TLS_DIR": str(system.state / "tls" / "pool-manager"),
    }
    gateway = {
        "DATABASE_URL": url,
        "GATEWAY_LISTEN": at["http"],
        "GATEWAY_INTERNAL_LISTEN": at["internal"],
        "GATEWAY_GRPC_LISTEN": at["grpc"],
        "GATEWAY_POOL_TARGET": f"dns:///{at['pool']}",
        "GATEWAY_POOL_ADMIN_TARGET": f"dns:///{at['admin']}",
        "GATEWAY_TRACER_TARGET": f"dns:///127.0.0.1:{system.ports['tracer']}",
        "GATEWAY_OPERATOR_TOKEN": TOKEN,
        "GATEWAY_TLS_DIR": str(system.state / "tls" / "gateway"),
    }
    second_pool = await ServiceProcess.start("pool_manager", pool, GrpcHealth(at["health"]))
    second_gateway = await ServiceProcess.start("gateway", gateway, HttpOk(at["internal"], "/readyz"))
    try:
        async with (
            aiohttp.ClientSession(headers={"authorization": f"Bearer {TOKEN}"}) as session,
            session.post(f"http://{at['internal']}/functions/v1/ip-pool-maintenance") as response,
        ):
            assert response.status == 200, await response.text()
    finally:
        await second_gateway.stop()
        await second_pool.stop()


async def test_another_authority_takes_over_while_clicks_come(system: System) -> None:
    """As an operator does it, in three steps; nothing is restarted, and every click gets to its landing page."""
    directories = [system.state / "tls" / identity for identity in IDENTITIES]
    old, new = (directories[0] / "ca.crt").read_bytes(), Authority("the next one")
    failed: list[str] = []
    clicks = 0

    async def clicking() -> None:
        nonlocal clicks
        while True:
            answer = await system.click(f"offer=demo&gclid=rotating-{clicks}")
            clicks += 1
            if "clickid" not in answer.params:
                failed.append(answer.location)
            await system.rested()

    task = asyncio.create_task(clicking())
    try:
        for step in range(3):
            seen = renewals(system)
            for directory in directories:
                if step == 1:
                    new.issue(directory, directory.name, "localhost", "127.0.0.1", trusting=old + new.pem)
                else:
                    replaced = directory / "ca.crt.new"
                    replaced.write_bytes(new.pem if step == 2 else old + new.pem)
                    replaced.replace(directory / "ca.crt")
            async with asyncio.timeout(60):
                while any(now <= before for now, before in zip(renewals(system), seen, strict=True)):
                    await asyncio.sleep(0.05)
        before = clicks
        async with asyncio.timeout(60):
            while clicks < before + 3:
                await asyncio.sleep(0.05)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert failed == []


def renewals(system: System) -> list[int]:
    """Counts how often each service has taken renewed files."""
    return [
        (system.state / "logs" / f"{name}.log").read_text().count("tls.renewed")
        for name in ("gateway", "pool_manager", "tracer")
    ]
