"""Proves the work of a minute: statistics that add up, history that is forgotten in time, findings, one replica at a
time, and sizes from the pool's own record.
"""

import asyncio
from typing import Any

import pytest
from grpc import aio

from clicktrace.pool.v1 import pool_pb2 as pb
from libs.common.errors import ClicktraceError
from libs.common.rpc.status import from_rpc_error
from libs.common.rpc.times import to_duration, to_seconds
from services.pool_manager.capacity.maintenance import Tally
from services.pool_manager.db.leases import PostgresLeases
from services.pool_manager.db.pool import PostgresPool
from services.pool_manager.inventory.service import Operating
from services.pool_manager.model.leases import Outcome
from services.pool_manager.model.operations import Maintained
from tests.integration.pool_manager.rig import Manager
from tests.integration.pool_manager.store import Pool, lease, provision, release, rows, until

FORCED = {"forced": True, "dry_run": False}


async def test_a_row_per_country_says_what_happened(
    leases: PostgresLeases, admin_store: PostgresPool, pool: Pool
) -> None:
    await admin_store.set_providers({"luna": 30.0}, {"luna": 0.25})
    await provision(admin_store, 4, country="us")
    await provision(admin_store, 1, country="gb")
    for number in range(3):
        grant = await lease(leases, f"us-{number}", country="us")
        if number:
            await release(leases, grant.token, Outcome.PROXY_FAILURE if number == 2 else Outcome.SUCCESS)
    gone = await lease(leases, "gb", country="gb", ttl=0.05)
    await until(pool, gone.expire_time)
    tally = Tally(admin_store)
    for _ in range(5):
        tally.refused("gb")
    tally.waited("us")
    tally.refused("de")
    await tally.hand_over()
    await tally.hand_over()

    assert await admin_store.maintain(forced=True, dry_run=True) == Maintained(2, 1, 0, False)
    assert await admin_store.maintain(**FORCED) == Maintained(3, 1, 0, False)
    written = {row.country: row for row in await admin_store.statistics("", None, before=2**63 - 1, count=9)}
    american, british, german = written["us"], written["gb"], written["de"]
    assert (american.total, american.available, american.utilization) == (4, 1, 0.75)
    assert (american.grants, american.refusals, american.waits, american.proxy_failures) == (3, 0, 1, 1)
    assert (american.mean_trace_time, american.estimated_cost) == (1.5, 0.5)
    assert (british.grants, british.refusals, british.waits, british.estimated_cost) == (1, 5, 0, 0.25)
    assert (german.total, german.grants, german.refusals) == (0, 0, 1)

    await lease(leases, "us-3", country="us")
    await admin_store.maintain(**FORCED)
    following = (await admin_store.statistics("us", None, before=2**63 - 1, count=1))[0]
    assert (following.start_at, following.grants, following.refusals) == (american.end_at, 1, 0)
    columns = "country, grants, refusals, utilization, available_ips"
    assert len(await rows(pool, f"SELECT {columns} FROM ip_pool_statistics ORDER BY recorded_at DESC")) == 5


async def test_history_is_forgotten_in_time(leases: PostgresLeases, admin_store: PostgresPool, pool: Pool) -> None:
    await provision(admin_store, 2)
    for name in ("old", "new"):
        await release(leases, (await lease(leases, name)).token)
    await pool.execute("UPDATE pool.leases SET ended_at = now() - interval '2 days' WHERE request_id = 'old'")
    await pool.execute("UPDATE pool.audit SET at = now() - interval '2 days'")
    assert (await admin_store.maintain(forced=True, dry_run=True)).deleted_rows == 2
    assert (await admin_store.maintain(**FORCED)).deleted_rows == 2
    assert await rows(pool, "SELECT request_id FROM pool.leases") == [{"request_id": "new"}]


async def test_one_replica_at_a_time_and_a_crashed_one_blocks_nobody(admin_store: PostgresPool, pool: Pool) -> None:
    await provision(admin_store, 1)
    async with pool.acquire() as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("SELECT pg_advisory_xact_lock(hashtextextended('pool.maintain', 1))")
        assert (await admin_store.maintain(**FORCED)).skipped
        pid = await other.fetchval("SELECT pg_backend_pid()")
        await pool.execute("SELECT pg_terminate_backend($1, 5000)", pid)
        assert not (await admin_store.maintain(**FORCED)).skipped


async def test_many_replicas_write_one_row_a_minute(admin_store: PostgresPool) -> None:
    await provision(admin_store, 1)
    done = await asyncio.gather(*(admin_store.maintain(forced=False, dry_run=False) for _ in range(8)))
    assert sorted(result.skipped for result in done) == [False] + [True] * 7
    assert len(await admin_store.statistics("", None, before=2**63 - 1, count=99)) == 1


async def test_findings_say_what_to_look_at(leases: PostgresLeases, admin_store: PostgresPool, pool: Pool) -> None:
    await provision(admin_store, 5, country="us")
    await provision(admin_store, 3, country="gb")
    for number in range(5):
        await lease(leases, f"us-{number}", country="us")
    await pool.execute("UPDATE ip_rotation_pool SET is_healthy = false WHERE ip_address = 'proxy-gb-1'")
    tally = Tally(admin_store)
    tally.refused("us")
    await tally.hand_over()
    _, found = await Operating(admin_store).maintain(**FORCED)
    assert [finding.partition(":")[0] for finding in found] == ["gb", "us", "us"]
    assert "1 of 3 IPs are unhealthy" in found[0]
    assert "100%" in found[1]
    assert "1 requests found no IP" in found[2]


async def test_what_cannot_be_handed_over_is_kept(admin_store: PostgresPool, pool: Pool) -> None:
    tally = Tally(admin_store)
    tally.refused("us")
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE pool.tallies IN ACCESS EXCLUSIVE MODE")
        handing = asyncio.create_task(tally.hand_over())
        while not (pid := await pool.fetchval("SELECT pid FROM pg_locks WHERE NOT granted LIMIT 1")):
            await asyncio.sleep(0.005)
        await pool.execute("SELECT pg_terminate_backend($1, 5000)", pid)
        with pytest.raises(ClicktraceError) as caught:
            await handing
    assert caught.value.reason == "DATABASE_UNAVAILABLE"
    tally.refused("us")
    await tally.hand_over()
    assert await rows(pool, "SELECT country, refusals, waits FROM pool.tallies") == [
        {"country": "us", "refusals": 2, "waits": 0}
    ]


async def test_maintenance_over_grpc(manager: Manager) -> None:
    await manager.provision(1, country="us")
    held = (await manager.leases.Lease(pb.LeaseRequest(request_id="a"))).lease
    with pytest.raises(aio.AioRpcError):
        await manager.leases.Lease(pb.LeaseRequest(request_id="b"))
    await manager.leases.Release(
        pb.ReleaseRequest(
            lease_id=held.lease_id, fence=held.fence, outcome=pb.SUCCESS, trace_time=to_duration(2), bytes=10
        )
    )
    done = await manager.admin.RunMaintenance(pb.RunMaintenanceRequest())
    assert (done.statistics_rows, done.skipped) == (1, False)
    assert any("add IPs" in finding for finding in done.findings)
    (row,) = (await manager.admin.ListStatistics(pb.ListStatisticsRequest(country="us"))).statistics
    assert (row.grants, to_seconds(row.mean_trace_time)) == (1, 2.0)
    assert list((await manager.admin.ListStatistics(pb.ListStatisticsRequest(since=row.end_time))).statistics) == []


async def estimate(manager: Manager, **values: Any) -> pb.EstimatePoolSizeResponse:
    return await manager.admin.EstimatePoolSize(pb.EstimatePoolSizeRequest(**values))


async def test_the_size_of_a_given_load(manager: Manager) -> None:
    await manager.provision(20)
    answer = await estimate(
        manager, clicks_per_second=5, trace_time=to_duration(10), cooldown=to_duration(60), added_ips=80
    )
    assert (answer.rule_of_thumb_ips, answer.offered_load, answer.present_ips) == (525, 350.0, 100)
    assert answer.erlang_b_ips == 375
    assert 0.7 < answer.present_loss < 0.72
    # 20 free ones and the 80 that are added, at 5 a second.
    assert to_seconds(answer.time_to_exhaustion) == 20.0
    assert (answer.assumptions.target_loss, answer.assumptions.buffer) == (0.01, 1.5)
    enough = await estimate(
        manager, clicks_per_second=0.1, trace_time=to_duration(1), cooldown=to_duration(1), target_loss=0.5
    )
    assert not enough.HasField("time_to_exhaustion")


async def test_the_size_of_the_pools_own_load(manager: Manager, pool: Pool) -> None:
    await manager.provision(2)
    with pytest.raises(aio.AioRpcError) as caught:
        await estimate(manager)
    fields = {violation.field for violation in from_rpc_error(caught.value).violations}
    assert fields == {"clicks_per_second", "trace_time"}
    await pool.execute(
        "INSERT INTO pool.statistics (country, start_at, end_at, last_fence, total, available, in_use, cooldown,"
        " unhealthy, drained, utilization, grants, refusals, waits, mean_trace_time, proxy_failures, estimated_cost)"
        " SELECT 'us', end_at - interval '1 minute', end_at, 0, 2, 0, 0, 0, 0, 0, 1, grants, 20, 0, '5 s', 0, 0"
        " FROM (VALUES (now(), 100), (now() - interval '1 minute', 40)) AS s (end_at, grants)"
    )
    answer = await estimate(manager, country="us")
    assert answer.assumptions.clicks_per_second == 2.0
    assert to_seconds(answer.assumptions.trace_time) == 5.0
    assert to_seconds(answer.assumptions.cooldown) == 60.0


async def test_an_absurd_load_is_refused_with_every_fault(manager: Manager) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        await estimate(
            manager,
            clicks_per_second=-1,
            trace_time=to_duration(0),
            cooldown=to_duration(-1),
            target_loss=1,
            buffer=-2,
            peak_concurrent=float("inf"),
            added_ips=-5,
        )
    assert {violation.field for violation in from_rpc_error(caught.value).violations} == {
        "clicks_per_second", "trace_time", "cooldown", "target_loss", "buffer", "peak_concurrent", "added_ips",
    }  # fmt: skip
