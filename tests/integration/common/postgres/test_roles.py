"""Each service runs as a role of its own that reaches its own schema and nothing else."""

import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from clicktrace.gateway.v1 import gateway_pb2
from clicktrace.pool.v1 import pool_pb2
from libs.common.postgres.migrate import migrate
from tests.conftest import SCHEMAS
from tests.integration.gateway.world import lands_on, world
from tests.integration.pool_manager.rig import serve_in_process

_numbers = itertools.count(1)


def as_user(url: str, name: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{name}:secret@{parts.hostname}:{parts.port}"))


@asynccontextmanager
async def login(url: str, attributes: str) -> AsyncIterator[str]:
    """Makes a role that can log in, and gives the URL to connect as it."""
    name = f"login_{os.getpid()}_{next(_numbers)}"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret' {attributes}")
        yield as_user(url, name)
        await connection.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")
    finally:
        await connection.close()


async def refused(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_pool_manager_does_all_its_work_as_its_role(database: str) -> None:
    async with login(database, "IN ROLE clicktrace_pool") as url:
        async with serve_in_process(url, cooldown=0) as manager:
            await manager.provision(3)
            first = await manager.leases.Lease(pool_pb2.LeaseRequest(request_id="a", country="us", holder="test"))
            lease_id, fence = first.lease.lease_id, first.lease.fence
            await manager.leases.Heartbeat(pool_pb2.HeartbeatRequest(lease_id=lease_id, fence=fence))
            await manager.leases.Release(
                pool_pb2.ReleaseRequest(lease_id=lease_id, fence=fence, outcome=pool_pb2.SUCCESS)
            )
            second = await manager.leases.Lease(pool_pb2.LeaseRequest(request_id="b", country="us", holder="test"))
            await manager.admin.RevokeLease(pool_pb2.RevokeLeaseRequest(lease_id=second.lease.lease_id))
            everyone = pool_pb2.ProxyFilter(country="us")
            drain = pool_pb2.UpdateProxiesRequest(filter=everyone, action=pool_pb2.DRAIN)
            assert (await manager.admin.UpdateProxies(drain)).changed == 3
            await manager.admin.RunMaintenance(pool_pb2.RunMaintenanceRequest())
            await manager.admin.ListStatistics(pool_pb2.ListStatisticsRequest())
            await manager.admin.ListLeases(pool_pb2.ListLeasesRequest(include_past=True))
            await manager.admin.EstimatePoolSize(pool_pb2.EstimatePoolSizeRequest(country="us"))
            assert (await manager.admin.DeleteProxies(pool_pb2.DeleteProxiesRequest(filter=everyone))).deleted == 3
        await refused(
            url,
            "SELECT FROM clicks.offers",
            "DELETE FROM clicks.clicks",
            "SELECT FROM public.active_trace_requests",
            "INSERT INTO pool.migrations (version, name, checksum) VALUES (99, 'x', 'x')",
            "UPDATE pool.functions SET set_version = 99",
            "UPDATE pool.audit SET actor = 'somebody else'",
            "CREATE TABLE pool.mine ()",
            "DROP TABLE pool.proxies",
            "SELECT pool.make_role()",
        )


async def test_a_gateway_does_all_its_work_as_its_role(database: str) -> None:
    async with login(database, "IN ROLE clicktrace_gateway") as url:
        async with world(url) as w:
            await w.offer()
            w.tracer.script = lands_on("http://landing.example/?clickid=7")
            reply = await w.click("offer=demo&gclid=1")
            assert "clickid=7" in reply.location
            assert (await w.record(reply.click_id)).status == gateway_pb2.COMPLETED
            assert (await w.click("offer=demo&gclid=1")).location == reply.location
            await w.clicks.ListClicks(gateway_pb2.ListClicksRequest())
            await w.offers.DeleteOffer(gateway_pb2.DeleteOfferRequest(name="demo"))
        await refused(
            url,
            "SELECT FROM pool.proxies",
            "UPDATE pool.proxies SET drained = true",
            "SELECT FROM public.ip_rotation_pool",
            "SELECT public.release_expired_ip_locks()",
            "DELETE FROM clicks.migrations",
            "DELETE FROM clicks.functions",
            "CREATE TABLE clicks.mine ()",
            "SELECT clicks.make_role()",
        )


async def test_the_roles_get_what_later_migrations_add(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("CREATE TABLE pool.later (id bigserial); CREATE TABLE clicks.later (id bigserial)")
    finally:
        await connection.close()
    for schema, role in (("pool", "clicktrace_pool"), ("clicks", "clicktrace_gateway")):
        async with login(database, f"IN ROLE {role}") as url:
            connection = await asyncpg.connect(url)
            try:
                await connection.execute(f"INSERT INTO {schema}.later DEFAULT VALUES")
            finally:
                await connection.close()


async def test_an_owner_who_may_not_make_roles_can_still_migrate(empty_database: str) -> None:
    async with login(empty_database, "") as url:
        name = urlsplit(url).username
        connection = await asyncpg.connect(empty_database)
        try:
            await connection.execute(f"GRANT CREATE ON DATABASE {urlsplit(url).path[1:]} TO {name}")
            await connection.execute(f"GRANT CREATE ON SCHEMA public TO {name}")
            for schema, package in SCHEMAS.items():
                assert f"{schema}.make_role" in (await migrate(url, schema=schema, package=package)).functions
        finally:
            await connection.close()
