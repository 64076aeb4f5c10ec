"""A database of commit 234582f, from before functions moved out of the migrations, goes on with every row it has."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import grpc
import pytest
from grpc import aio

from clicktrace.gateway.v1 import gateway_pb2
from clicktrace.pool.v1 import pool_pb2
from libs.common.postgres.migrate import migrate
from libs.common.rpc import times
from local.postgres.server import EmbeddedPostgres
from tests.conftest import SCHEMAS
from tests.integration.gateway.world import lands_on, world
from tests.integration.pool_manager.db.test_quick_start import STATEMENTS
from tests.integration.pool_manager.rig import serve_in_process
from tests.support import schema as schemas

TABLES = (
    *(
        "pool.proxies",
        "pool.leases",
        "pool.audit",
        "pool.statistics",
        "pool.tallies",
        "pool.providers",
        "pool.departed",
    ),
    *("clicks.clicks", "clicks.journeys", "clicks.webhooks", "clicks.offer_health"),
)
# A gateway forgets clicks by their age, which the dump has more of every day. No setting is longer.
FOR_EVER = 10 * 365 * 86_400


async def upgrade(url: str) -> dict[str, list[str]]:
    """Migrates both schemas and returns which migrations that took."""
    return {
        schema: list((await migrate(url, schema=schema, package=package)).migrations)
        for schema, package in SCHEMAS.items()
    }


@asynccontextmanager
async def connected(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def rows(connection: "asyncpg.Connection[asyncpg.Record]", table: str) -> list[dict[str, Any]]:
    """Returns the whole of a table."""
    found = await connection.fetch(f"SELECT to_jsonb(t)::text AS row FROM {table} AS t ORDER BY 1")
    return [json.loads(row["row"]) for row in found]


@pytest.fixture
async def former(empty_database: str) -> str:
    """A database of that commit, with rows in every table."""
    await schemas.restore_former(empty_database)
    return empty_database


async def test_every_row_is_kept(former: str) -> None:
    async with connected(former) as connection:
        before = {table: await rows(connection, table) for table in TABLES}
        assert [table for table, found in before.items() if not found] == []
        offers = await rows(connection, "clicks.offers")
        known = {schema: await rows(connection, f"{schema}.migrations") for schema in SCHEMAS}
        sequences = await connection.fetch("SELECT sequencename, last_value FROM pg_sequences ORDER BY 1")

        assert await upgrade(former) == {"pool": [], "clicks": ["0003_offer_documents.sql"]}

        assert {table: await rows(connection, table) for table in TABLES} == before
        for offer in await rows(connection, "clicks.offers"):
            fields = {**offer.pop("document"), **offer}
            assert fields in offers
            offers.remove(fields)
        assert offers == []
        for schema, migrations in known.items():
            kept = [row for row in await rows(connection, f"{schema}.migrations") if row in migrations]
            assert kept == migrations
        assert await connection.fetch("SELECT sequencename, last_value FROM pg_sequences ORDER BY 1") == sequences
    assert await upgrade(former) == {"pool": [], "clicks": []}


async def test_it_comes_out_as_a_new_one_would(former: str, database: str, postgres: EmbeddedPostgres) -> None:
    await upgrade(former)
    ours = ("--schema-only", "--schema=pool", "--schema=clicks", "--schema=public")
    assert schemas.dump(postgres, former, *ours) == schemas.dump(postgres, database, *ours)
    async with connected(former) as upgraded, connected(database) as fresh:
        for schema in SCHEMAS:
            applied = f"SELECT name, checksum, set_version FROM {schema}.functions ORDER BY name"
            assert await upgraded.fetch(applied) == await fresh.fetch(applied)


async def test_one_of_the_time_between_is_known_by_what_the_files_were_then(former: str) -> None:
    """Offers were documents already, by a migration that held a trigger's name."""
    await upgrade(former)
    async with connected(former) as connection:
        await connection.execute(
            "UPDATE clicks.migrations SET checksum = 'c334051ff04c68e4ad0b544e7fbd66663350fea7b8bc00d4a11f9c2d0a489b4c'"
            " WHERE version = 3"
        )
    assert await upgrade(former) == {"pool": [], "clicks": []}


async def test_leases_of_before_are_kept_released_and_listed(former: str) -> None:
    await upgrade(former)
    async with serve_in_process(former) as manager:

        async def lease(request_id: str) -> pool_pb2.Lease:
            request = pool_pb2.LeaseRequest(request_id=request_id, country="us", offer="summer", holder="new")
            return (await manager.leases.Lease(request)).lease

        past = await manager.admin.ListLeases(pool_pb2.ListLeasesRequest(include_past=True))
        assert sorted(lease.fence for lease in past.leases) == list(range(1, 15))

        held = [await lease(f"held-{number}") for number in range(3)]
        assert [(one.fence, one.proxy.ip_address) for one in held] == [
            (10, "proxy-us-6"),
            (11, "proxy-us-7"),
            (12, "proxy-us-8"),
        ]
        for one in held:
            await manager.leases.Heartbeat(
                pool_pb2.HeartbeatRequest(lease_id=one.lease_id, fence=one.fence, ttl=times.to_duration(30))
            )
            await manager.leases.Release(
                pool_pb2.ReleaseRequest(lease_id=one.lease_id, fence=one.fence, outcome=pool_pb2.SUCCESS)
            )
        free = await lease("another")
        assert free.fence == 15
        assert free.proxy.ip_address not in {one.proxy.ip_address for one in held} | {"proxy-us-3"}

        status = (await manager.admin.GetPoolStatus(pool_pb2.GetPoolStatusRequest())).total
        assert (status.total, status.in_use, status.unhealthy) == (12, 2, 1)
        # What was removed while it was leased rests on when it comes back.
        await manager.admin.ProvisionProxies(
            pool_pb2.ProvisionProxiesRequest(
                proxies=[pool_pb2.ProxySpec(ip_address="proxy-us-10", ip_port=7000, country="us")]
            )
        )
        back = pool_pb2.ListProxiesRequest(filter=pool_pb2.ProxyFilter(ip_address="proxy-us-10"))
        assert [proxy.state for proxy in (await manager.admin.ListProxies(back)).proxies] == [pool_pb2.COOLDOWN]
        done = await manager.admin.RunMaintenance(pool_pb2.RunMaintenanceRequest())
        assert done.expired_leases == 1
    async with connected(former) as connection:
        assert await connection.fetchval("SELECT ending FROM pool.leases WHERE request_id = 'unnoticed'") == "EXPIRED"


async def test_offers_and_clicks_of_before_are_served(former: str) -> None:
    await upgrade(former)
    async with world(former, retention=FOR_EVER) as w:
        offers = (await w.offers.ListOffers(gateway_pb2.ListOffersRequest())).offers
        assert [offer.name for offer in offers] == ["beacon", "broken", "demo", "off"]
        demo = offers[2]
        assert (demo.country, demo.max_wait.ToMilliseconds(), demo.weight) == ("us", 2500, 7)
        clicks = (await w.clicks.ListClicks(gateway_pb2.ListClicksRequest())).clicks
        assert sorted((click.offer, click.status) for click in clicks) == [
            ("beacon", gateway_pb2.COMPLETED),
            ("broken", gateway_pb2.FAILED),
            ("demo", gateway_pb2.COMPLETED),
            ("demo", gateway_pb2.COMPLETED),
            ("demo", gateway_pb2.ABANDONED),
        ]
        letters = (await w.webhooks.ListWebhooks(gateway_pb2.ListWebhooksRequest(dead=True))).webhooks
        assert [letter.offer for letter in letters] == ["beacon"]
        # The click of before leads on: the same click gets what the first one found, and no second IP.
        w.tracer.script = lands_on("http://shop.example/other?clickid=c2")
        assert (await w.click("offer=demo&gclid=1")).location == "http://shop.example/l?cid=c1&gclid=1"
        assert (await w.click("offer=demo&gclid=9")).location == "http://shop.example/other?cid=c2&gclid=9"
        assert len(w.pool.granted) == 1
        with pytest.raises(aio.AioRpcError) as refused:
            await w.offer("demo")
        assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS


async def test_the_seeds_sql_runs_as_before(former: str) -> None:
    await upgrade(former)
    async with connected(former) as connection:
        for statement in STATEMENTS:
            await connection.execute(statement)
        assert await connection.fetchval("SELECT count(*) FROM ip_rotation_pool") == 12 + 60
        assert await connection.fetchval("SELECT count(*) FROM active_trace_requests") == 4
