"""A row that a newer release has written is listed and leased beside all others."""

from clicktrace.common.v1 import common_pb2
from clicktrace.pool.v1 import pool_pb2 as pb
from services.pool_manager.db.leases import PostgresLeases
from services.pool_manager.db.pool import PostgresPool
from services.pool_manager.health.fetcher import ProbeFetcher
from services.pool_manager.model.leases import LeaseFilter, Outcome
from services.pool_manager.model.proxies import Protocol, ProxyFilter
from tests.integration.pool_manager.rig import Manager
from tests.integration.pool_manager.store import Pool, lease, provision, release


async def newer_protocol(pool: Pool) -> None:
    """Gives the first proxy a protocol of a newer release, whose trigger would let it pass."""
    await pool.execute("ALTER TABLE pool.proxies DISABLE TRIGGER proxy_is_sound")
    await pool.execute("UPDATE pool.proxies SET protocol = 'QUIC' WHERE id = (SELECT min(id) FROM pool.proxies)")
    await pool.execute("ALTER TABLE pool.proxies ENABLE TRIGGER proxy_is_sound")


async def test_a_protocol_of_a_newer_release_fails_no_page_and_no_group(
    manager: Manager, pool: Pool, admin_store: PostgresPool
) -> None:
    await manager.provision(3)
    await newer_protocol(pool)
    page = await admin_store.proxies(ProxyFilter(), after=0, count=10)
    assert [info.proxy.protocol for info in page.proxies] == ["QUIC", Protocol.HTTP, Protocol.HTTP]
    listed = (await manager.admin.ListProxies(pb.ListProxiesRequest())).proxies
    assert [info.protocol for info in listed] == [common_pb2.PROTOCOL_UNSPECIFIED, common_pb2.HTTP, common_pb2.HTTP]
    requests = [pb.LeaseRequest(request_id=str(number), country="us") for number in range(3)]
    results = (await manager.leases.BatchLease(pb.BatchLeaseRequest(requests=requests))).results
    assert all(result.HasField("response") for result in results)


async def test_an_outcome_of_a_newer_release_is_listed_by_its_name(
    leases: PostgresLeases, pool: Pool, admin_store: PostgresPool, manager: Manager
) -> None:
    await provision(admin_store, 2)
    for outcome in (Outcome.SUCCESS, Outcome.CANCELLED):
        await release(leases, (await lease(leases, outcome.value)).token, outcome)
    await pool.execute("UPDATE pool.leases SET outcome = 'REGRET' WHERE outcome = 'CANCELLED'")
    past = LeaseFilter(include_past=True)
    page = await admin_store.leases(past, before=2**63 - 1, count=10)
    assert sorted(str(info.outcome) for info in page.leases) == ["REGRET", "SUCCESS"]
    told = (await manager.admin.ListLeases(pb.ListLeasesRequest(include_past=True))).leases
    assert {info.outcome for info in told} == {pb.OUTCOME_UNSPECIFIED, pb.SUCCESS}


async def test_a_probe_through_a_protocol_of_a_newer_release_fails_like_any_other(
    pool: Pool, admin_store: PostgresPool
) -> None:
    await provision(admin_store, 1)
    await newer_protocol(pool)
    (info,) = (await admin_store.proxies(ProxyFilter(), after=0, count=10)).proxies
    assert await ProbeFetcher("http://127.0.0.1:1/")(info.proxy, "", "") is None
