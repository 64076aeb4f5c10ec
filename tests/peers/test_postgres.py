"""PostgreSQL as others run it: several versions, TLS, PgBouncer, a standby, a failover, and a backup restored."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
from grpc import aio

from clicktrace.gateway.v1 import gateway_pb2
from clicktrace.pool.v1 import pool_pb2
from libs.common.postgres import database
from libs.common.postgres.migrate import migrate
from libs.common.rpc.status import from_rpc_error
from libs.common.rpc.times import to_datetime, to_duration
from local.tools.authority import Authority
from tests.conftest import SCHEMAS
from tests.integration.gateway.world import lands_on, world
from tests.integration.pool_manager.rig import ROOT, Manager, serve_in_process
from tests.support.cluster import PASSWORD, SUPERUSER, Cluster, cluster, clusters, debian, pgbouncer, versions
from tests.support.docs import commands

T = TypeVar("T")


async def migrated(url: str) -> None:
    for schema, package in SCHEMAS.items():
        await migrate(url, schema=schema, package=package)


async def leased(manager: Manager, request_id: str, *, ttl: float = 60, wait: float = 0) -> pool_pb2.Lease:
    request = pool_pb2.LeaseRequest(
        request_id=request_id, country="us", holder="test", ttl=to_duration(ttl), wait=to_duration(wait)
    )
    return (await manager.leases.Lease(request)).lease


async def released(manager: Manager, lease: pool_pb2.Lease) -> datetime:
    request = pool_pb2.ReleaseRequest(lease_id=lease.lease_id, fence=lease.fence, outcome=pool_pb2.SUCCESS)
    return to_datetime((await manager.leases.Release(request)).available_time)


async def works(url: str) -> None:
    """Has both services do their work over a database."""
    async with serve_in_process(url, cooldown=0) as manager:
        await manager.provision(5)
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(used(manager, f"request-{number}"))
        await manager.admin.RunMaintenance(pool_pb2.RunMaintenanceRequest())
        status = (await manager.admin.GetPoolStatus(pool_pb2.GetPoolStatusRequest())).total
        assert (status.total, status.available) == (5, 5)
        past = await manager.admin.ListLeases(pool_pb2.ListLeasesRequest(include_past=True))
        assert len(past.leases) == 20
    async with world(url) as w:
        await w.offer()
        w.tracer.script = lands_on("http://landing.example/?clickid=7")
        replies = await asyncio.gather(*(w.click(f"offer=demo&gclid={number}") for number in range(20)))
        assert all("clickid=7" in reply.location for reply in replies)
        assert (await w.record(replies[0].click_id)).status == gateway_pb2.COMPLETED
        await w.offers.DeleteOffer(gateway_pb2.DeleteOfferRequest(name="demo"))


async def used(manager: Manager, request_id: str) -> None:
    lease = await persistently(lambda: leased(manager, request_id, wait=20))
    kept = pool_pb2.HeartbeatRequest(lease_id=lease.lease_id, fence=lease.fence)
    await persistently(lambda: manager.leases.Heartbeat(kept))
    await persistently(lambda: released(manager, lease))


async def persistently(call: Callable[[], Awaitable[T]]) -> T:
    """Makes a call, again while the database does not answer, as a busy machine may make it; repeats are safe."""
    while True:
        try:
            return await call()
        except aio.AioRpcError as error:
            if from_rpc_error(error).reason != "DATABASE_UNAVAILABLE":
                raise
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("version", ["15", "16", "18"])
async def test_both_services_work_on_this_version(version: str) -> None:
    programs = versions().get(version)
    if programs is None:
        pytest.skip(f"PostgreSQL {version} is missing")
    with cluster(programs) as server:
        assert server.sql("SHOW server_version").startswith(version)
        await migrated(server.url())
        await works(server.url())


@pytest.fixture
def server() -> Iterator[Cluster]:
    """Runs Debian's PostgreSQL."""
    with cluster(debian()) as running:
        yield running


async def test_who_may_not_make_roles_can_migrate_and_has_them_made_later(server: Cluster) -> None:
    server.sql("CREATE ROLE owner LOGIN PASSWORD 'owner'")
    server.sql("CREATE DATABASE clicktrace OWNER owner")
    await migrated(f"postgresql://owner:owner@127.0.0.1:{server.port}/clicktrace")
    assert server.sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'clicktrace\\_%'") == "0"
    server.sql("SELECT pool.make_role(), clicks.make_role()", "clicktrace")
    assert server.sql("SELECT has_table_privilege('clicktrace_pool', 'pool.proxies', 'INSERT')", "clicktrace") == "t"


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[Cluster, Authority]]:
    """Runs Debian's PostgreSQL with TLS, and nothing else."""
    authority = Authority()
    with clusters(debian(), {"ssl": "on"}) as (server,):
        server.make()
        certificate = authority.issue(tmp_path / "server", "127.0.0.1")
        for name, place in (("tls.crt", "server.crt"), ("tls.key", "server.key")):
            shutil.copy(certificate / name, server.data / place)
            if os.geteuid() == 0:
                shutil.chown(server.data / place, "nobody")
        (server.data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
        server.start()
        yield server, authority


async def test_tls_with_a_verified_server(secured: tuple[Cluster, Authority], tmp_path: Path) -> None:
    server, authority = secured
    (tmp_path / "ca.crt").write_bytes(authority.pem)
    url = server.url(sslmode="verify-full", sslrootcert=str(tmp_path / "ca.crt"))
    await migrated(url)
    await works(url)


@pytest.mark.parametrize("sslmode", ["disable", "verify-full"])
async def test_no_tls_or_another_authority_is_refused(
    secured: tuple[Cluster, Authority], tmp_path: Path, sslmode: str
) -> None:
    server, _ = secured
    (tmp_path / "ca.crt").write_bytes(Authority().pem)
    url = server.url(sslmode=sslmode, sslrootcert=str(tmp_path / "ca.crt"))
    with pytest.raises((OSError, asyncpg.InvalidAuthorizationSpecificationError)):
        await database.connect(url, application_name="test")


async def test_both_services_work_through_pgbouncer_in_transaction_mode(server: Cluster) -> None:
    with pgbouncer(server) as address:
        url = f"postgresql://{SUPERUSER}:{PASSWORD}@{address}/postgres"
        await asyncio.gather(migrated(url), migrated(url))
        await works(url)


async def test_offers_are_found_through_pgbouncer_though_nothing_can_be_heard(server: Cluster) -> None:
    with pgbouncer(server) as address:
        url = f"postgresql://{SUPERUSER}:{PASSWORD}@{address}/postgres"
        await migrated(url)
        with pytest.raises(database.PoolerBetweenError):
            await database.connect(url, application_name="test", direct=True)
        async with world(url, gateways=2) as w:
            await w.offer(mode=gateway_pb2.REDIRECT_ONLY)
            async with asyncio.timeout(20):
                while (await w.click("offer=demo", at=w.others[0])).status == 404:
                    await asyncio.sleep(0.1)


async def test_changes_are_heard_beside_pgbouncer(server: Cluster) -> None:
    with pgbouncer(server) as address:
        url = f"postgresql://{SUPERUSER}:{PASSWORD}@{address}/postgres"
        await migrated(url)
        async with world(url, gateways=2, DATABASE_LISTEN_URL=server.url()) as w:
            watching: Any = w.clicks.WatchClicks(gateway_pb2.WatchClicksRequest())
            await watching.initial_metadata()
            await w.offer(mode=gateway_pb2.REDIRECT_ONLY)
            async with asyncio.timeout(20):
                while (await w.click("offer=demo", at=w.others[0])).status == 404:
                    await asyncio.sleep(0.01)
                assert (await watching.read()).click.offer == "demo"


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Cluster, Cluster, str]]:
    """Runs a primary and a standby that follows it, and gives the URL that names both."""
    with clusters(debian(), {}, {}) as (primary, standby):
        primary.make()
        (primary.data / "pg_hba.conf").write_text("host all,replication all 127.0.0.1/32 scram-sha-256\n")
        primary.start()
        # An answer is given when the standby has it too, so a failover loses no lease.
        standby.copy_of(primary)
        standby.start()
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.sql("SELECT pg_reload_conf()")
        await migrated(primary.url())
        yield (
            primary,
            standby,
            f"postgresql://{SUPERUSER}:{PASSWORD}@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/postgres",
        )


async def test_a_standby_is_refused_with_what_to_do() -> None:
    async with pair() as (_, standby, _):
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError, match="DATABASE_URL must lead to the primary"):
            await database.connect(standby.url(), application_name="test")
        for service in ("pool_manager", "gateway"):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", f"services.{service}",
                cwd=ROOT, env=os.environ | {"DATABASE_URL": standby.url(), "LOG_FORMAT": "json"},
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            output, _ = await process.communicate()
            assert process.returncode == 1
            assert b"DATABASE_URL must lead to the primary" in output
            assert PASSWORD.encode() not in output


async def test_the_primary_is_found_whichever_host_is_named_first() -> None:
    async with pair() as (primary, standby, _):
        url = f"postgresql://{SUPERUSER}:{PASSWORD}@127.0.0.1:{standby.port},127.0.0.1:{primary.port}/postgres"
        async with serve_in_process(url, cooldown=60) as manager:
            await manager.provision(1)
            await leased(manager, "on the second host")


async def test_leases_outlive_a_failover() -> None:
    """The primary dies, the standby becomes it: what was leased stays leased, and work goes on by itself."""
    async with pair() as (primary, standby, url), serve_in_process(url, cooldown=60) as manager:
        await manager.provision(3)
        held = await leased(manager, "held")
        spent = await leased(manager, "spent")
        rests_until = await released(manager, spent)

        primary.stop(signal.SIGKILL)
        with pytest.raises(aio.AioRpcError) as caught:
            await leased(manager, "between")
        assert from_rpc_error(caught.value).reason == "DATABASE_UNAVAILABLE"
        clock = asyncio.get_running_loop().time
        standby.promote()
        # There is nobody left to wait for.
        standby.sql("ALTER SYSTEM RESET synchronous_standby_names")
        standby.sql("SELECT pg_reload_conf()")
        promoted = clock()
        async with asyncio.timeout(60):
            third = await persistently(lambda: leased(manager, "after"))
        print(f"leases are granted again {clock() - promoted:.2f} s after the standby was promoted")
        assert len({held.proxy.ip_address, spent.proxy.ip_address, third.proxy.ip_address}) == 3
        await manager.leases.Heartbeat(pool_pb2.HeartbeatRequest(lease_id=held.lease_id, fence=held.fence))
        assert await released(manager, spent) == rests_until
        await released(manager, held)


def by_hand(on: Cluster, command: str) -> None:
    """Runs a command as it stands in the docs, beside a server."""
    done = subprocess.run(
        ["bash", "-c", command], cwd=on.directory, capture_output=True, text=True, check=False,
        env={
            "PATH": f"{Path(sys.executable).parent}:{on.programs}:{os.defpath}",
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": on.url(),
        },
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


async def test_a_backup_that_is_restored_honours_leases_and_rests(server: Cluster) -> None:
    """By the commands of docs/database.md: dump, restore into a fresh server, go on."""
    await migrated(server.url())
    async with serve_in_process(server.url(), cooldown=60) as manager:
        await manager.provision(3)
        held = await leased(manager, "held", ttl=120)
        spent = await leased(manager, "spent", ttl=120)
        rests_until = await released(manager, spent)
    async with world(server.url()) as w:
        await w.offer()
        w.tracer.script = lands_on("http://landing.example/?clickid=7")
        click_id = (await w.click("offer=demo&gclid=kept")).click_id
        await w.record(click_id)
    (dump,) = commands("docs/database.md", "pg_dump")
    by_hand(server, dump)

    with cluster(server.programs) as fresh:
        shutil.copy(server.directory / "clicktrace.dump", fresh.directory)
        for program in ("pg_restore", "psql", "python"):
            for command in commands("docs/database.md", program):
                by_hand(fresh, command)
        async with serve_in_process(fresh.url(), cooldown=60) as manager:
            only = await leased(manager, "third")
            assert len({held.proxy.ip_address, spent.proxy.ip_address, only.proxy.ip_address}) == 3
            assert only.fence > max(held.fence, spent.fence)
            with pytest.raises(aio.AioRpcError) as caught:
                await leased(manager, "fourth")
            assert from_rpc_error(caught.value).reason == "NO_AVAILABLE_IP"
            await manager.leases.Heartbeat(pool_pb2.HeartbeatRequest(lease_id=held.lease_id, fence=held.fence))
            assert await released(manager, spent) == rests_until
            await released(manager, held)
        fresh.sql(re.findall("`(UPDATE ip_rotation_pool .*?)`", (ROOT / "docs/database.md").read_text(), re.DOTALL)[0])
        left = fresh.sql("SELECT min(available_at) - now() > interval '70 seconds' FROM ip_rotation_pool")
        assert left == "t"
        async with world(fresh.url()) as w:
            assert (await w.record(click_id)).status == gateway_pb2.COMPLETED
            assert (await w.offers.GetOffer(gateway_pb2.GetOfferRequest(name="demo"))).offer.name == "demo"
