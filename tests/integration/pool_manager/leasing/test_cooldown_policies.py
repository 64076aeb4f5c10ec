"""Proves the two cooldown policies that an offer can have: having its own last IP again at once, and rests that hold
between leases of one host alone; and that nobody else's rest is cut short by them.
"""

import asyncio
import itertools

import pytest
from grpc import aio

from clicktrace.pool.v1 import pool_pb2 as pb
from libs.common.rpc.status import from_rpc_error
from libs.common.rpc.times import to_duration
from services.pool_manager.db.leases import PostgresLeases
from services.pool_manager.db.pool import PostgresPool
from services.pool_manager.leasing.attempts import Attempt
from services.pool_manager.model.leases import CooldownPolicy, Grant, LeaseRequest, Refusal
from tests.integration.pool_manager.rig import Manager, serve_in_process
from tests.integration.pool_manager.store import Pool, provision, release, rows, until

REUSE = CooldownPolicy(reuse=True)
HOST_A = CooldownPolicy(key="a.example")
HOST_B = CooldownPolicy(key="b.example")
NONE = CooldownPolicy()

_numbers = itertools.count()


async def ask(
    store: PostgresLeases, offer: str, policy: CooldownPolicy = NONE, *, ttl: float = 30.0, country: str = "us"
) -> Grant | Refusal:
    request = LeaseRequest(f"{offer}-{next(_numbers)}", country, offer, "test", ttl, 0.0, policy=policy)
    (answer,) = await store.lease([Attempt(request, repeat_only=False)])
    return answer


async def use(store: PostgresLeases, offer: str, policy: CooldownPolicy = NONE) -> Grant:
    """Leases an IP that must be there, and releases it."""
    grant = await ask(store, offer, policy)
    assert isinstance(grant, Grant), grant
    await release(store, grant.token)
    return grant


async def test_without_a_rule_every_ip_rests_for_everybody(leases: PostgresLeases, admin_store: PostgresPool) -> None:
    await provision(admin_store, 1)
    await use(leases, "summer")
    for offer in ("summer", "winter"):
        assert isinstance(await ask(leases, offer), Refusal)


async def test_an_offer_has_its_own_last_ip_again_and_leaves_rested_ones_to_others(
    leases: PostgresLeases, admin_store: PostgresPool
) -> None:
    await provision(admin_store, 2)
    first = await use(leases, "summer", REUSE)
    for country in ("us", ""):
        again = await ask(leases, "summer", REUSE, country=country)
        assert isinstance(again, Grant)
        assert again.proxy == first.proxy
        assert again.token.fence > first.token.fence
        # While it is held it is free for nobody.
        other = await ask(leases, "summer", REUSE, country=country)
        assert isinstance(other, Grant)
        assert other.proxy != first.proxy
        assert isinstance(await ask(leases, "summer", REUSE, country=country), Refusal)
        await release(leases, again.token)
        await release(leases, other.token)
    assert isinstance(await ask(leases, "winter", REUSE), Refusal)
    assert isinstance(await ask(leases, "winter"), Refusal)


async def test_rests_hold_between_leases_of_one_host_alone(leases: PostgresLeases, admin_store: PostgresPool) -> None:
    await provision(admin_store, 1)
    a = await use(leases, "summer", HOST_A)
    assert isinstance(await ask(leases, "autumn", HOST_A), Refusal)
    b = await use(leases, "winter", HOST_B)
    assert a.proxy == b.proxy
    # Both rests run on, each for its host; and for everybody else.
    for offer, policy in (("summer", HOST_A), ("winter", HOST_B), ("none", NONE), ("none", REUSE)):
        refusal = await ask(leases, offer, policy)
        assert isinstance(refusal, Refusal), offer
        assert refusal.retry_after is not None
        assert 50 < refusal.retry_after <= 60


async def test_what_was_used_under_no_rule_rests_for_everybody(
    leases: PostgresLeases, admin_store: PostgresPool, pool: Pool
) -> None:
    await provision(admin_store, 1)
    await use(leases, "plain")
    for policy in (REUSE, HOST_A):
        assert isinstance(await ask(leases, "summer", policy), Refusal)
    # The archive of rests knows that too: a lease under a policy is granted, and the earlier cooldown still holds.
    await pool.execute("UPDATE pool.proxies SET available_at = now(), rests = NULL")
    await use(leases, "plain", REUSE)
    await use(leases, "plain", REUSE)
    assert isinstance(await ask(leases, "summer", HOST_A), Refusal)


async def test_what_expired_rests_by_the_same_policies(
    leases: PostgresLeases, admin_store: PostgresPool, pool: Pool
) -> None:
    await provision(admin_store, 1)
    lost = await ask(leases, "summer", HOST_A, ttl=0.05)
    assert isinstance(lost, Grant)
    assert isinstance(await ask(leases, "winter", HOST_B), Refusal), "it is held"
    await until(pool, lost.expire_time)
    assert isinstance(await ask(leases, "summer", HOST_A), Refusal)
    assert isinstance(await ask(leases, "winter", HOST_B), Grant)
    (ended,) = await rows(pool, "SELECT request_id, ending, ended_at FROM pool.leases")
    assert (ended["ending"], ended["ended_at"]) == ("EXPIRED", lost.expire_time)


async def test_a_lease_that_nobody_saw_cuts_no_rest_short(
    leases: PostgresLeases, admin_store: PostgresPool, pool: Pool
) -> None:
    await provision(admin_store, 1)
    await use(leases, "summer", HOST_A)
    (before,) = await rows(pool, "SELECT available_at FROM pool.proxies")
    unseen = await ask(leases, "winter", HOST_B)
    assert isinstance(unseen, Grant)
    await leases.return_unseen([unseen.token])
    assert await rows(pool, "SELECT available_at FROM pool.proxies") == [before]
    for offer, policy in (("summer", HOST_A), ("none", NONE)):
        assert isinstance(await ask(leases, offer, policy), Refusal), offer
    assert isinstance(await ask(leases, "winter", HOST_B), Grant)


async def test_a_shorter_cooldown_of_the_next_lease_cuts_no_rest_short(
    leases: PostgresLeases, admin_store: PostgresPool, pool: Pool
) -> None:
    await provision(admin_store, 1)
    await use(leases, "summer", HOST_A)
    (before,) = await rows(pool, "SELECT available_at FROM pool.proxies")
    await pool.execute("UPDATE pool.proxies SET cooldown = '0 s'")
    await use(leases, "winter", HOST_B)
    assert await rows(pool, "SELECT available_at FROM pool.proxies") == [before]
    assert isinstance(await ask(leases, "none"), Refusal)
    assert isinstance(await ask(leases, "summer", HOST_A), Refusal)


async def by_call(manager: Manager, wanted: pb.LeaseRequest) -> pb.Lease:
    return (await manager.leases.Lease(wanted)).lease


async def by_batch(manager: Manager, wanted: pb.LeaseRequest) -> pb.Lease:
    answer = await manager.leases.BatchLease(pb.BatchLeaseRequest(requests=[wanted]))
    return answer.results[0].response.lease


@pytest.mark.parametrize("batch", [False, True])
async def test_who_waits_under_a_rule_is_served_the_moment_its_ip_is_released(database: str, batch: bool) -> None:
    policies = {"summer": REUSE}
    async with (
        serve_in_process(database, policies=policies) as manager,
        serve_in_process(database, policies=policies) as other,
    ):
        await manager.provision(1)
        held = (await manager.leases.Lease(pb.LeaseRequest(request_id="a", country="us", offer="summer"))).lease
        wanted = pb.LeaseRequest(request_id="b", country="us", offer="summer", wait=to_duration(20))
        plain = pb.LeaseRequest(request_id="c", country="us", wait=to_duration(20))
        with pytest.raises(aio.AioRpcError) as refused:
            await manager.leases.Lease(plain)
        assert from_rpc_error(refused.value).reason == "NO_AVAILABLE_IP"
        waiting = asyncio.create_task(by_batch(other, wanted) if batch else by_call(other, wanted))
        await asyncio.wait({waiting}, timeout=0.1)
        assert not waiting.done()
        await manager.leases.Release(pb.ReleaseRequest(lease_id=held.lease_id, fence=held.fence, outcome=pb.SUCCESS))
        lease = await waiting
        assert lease.proxy == held.proxy
        assert lease.fence > held.fence
