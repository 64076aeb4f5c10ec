"""Proves what operators can do: see every proxy and lease, drain, enable, reset, delete and revoke, each with a dry run
that changes nothing and a record of who did it.
"""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from grpc import aio

from clicktrace.pool.v1 import pool_pb2 as pb
from libs.common.errors import ClicktraceError, Code
from libs.common.rpc.status import from_rpc_error
from libs.common.rpc.times import to_datetime, to_duration, to_timestamp
from tests.integration.pool_manager.rig import Manager, serve_in_process
from tests.integration.pool_manager.store import Pool, rows


async def failure(call: "aio.UnaryUnaryCall[Any, Any]") -> ClicktraceError:
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def lease(manager: Manager, request_id: str, **values: Any) -> pb.Lease:
    return (await manager.leases.Lease(pb.LeaseRequest(request_id=request_id, **values))).lease


def beat(held: pb.Lease) -> pb.HeartbeatRequest:
    return pb.HeartbeatRequest(lease_id=held.lease_id, fence=held.fence)


def ending(held: pb.Lease, outcome: pb.Outcome = pb.SUCCESS) -> pb.ReleaseRequest:
    return pb.ReleaseRequest(lease_id=held.lease_id, fence=held.fence, outcome=outcome)


async def test_proxies_are_listed_in_pages_and_by_filter(manager: Manager) -> None:
    await manager.provision(5, country="us")
    await manager.provision(2, country="gb")
    held = await lease(manager, "a", country="gb")
    listed: list[pb.ProxyInfo] = []
    token = ""
    for _ in range(4):
        page = await manager.admin.ListProxies(pb.ListProxiesRequest(page_size=2, page_token=token))
        listed.extend(page.proxies)
        token = page.next_page_token
    assert token == ""
    assert [info.proxy_id for info in listed] == sorted(info.proxy_id for info in listed)
    assert len(listed) == 7
    british = await manager.admin.ListProxies(pb.ListProxiesRequest(filter=pb.ProxyFilter(country="GB")))
    assert [info.state for info in british.proxies] == [pb.IN_USE, pb.AVAILABLE]
    assert british.proxies[0].fence == held.fence
    in_use = await manager.admin.ListProxies(pb.ListProxiesRequest(filter=pb.ProxyFilter(state=pb.IN_USE)))
    assert [info.ip_address for info in in_use.proxies] == [held.proxy.ip_address]
    exact = await manager.admin.ListProxies(
        pb.ListProxiesRequest(filter=pb.ProxyFilter(ip_address="PROXY-us-3", provider="default"))
    )
    assert [info.ip_address for info in exact.proxies] == ["proxy-us-3"]


@pytest.mark.parametrize("token", ["x", "-1", "1" * 30, "١"])
async def test_a_page_that_is_none_is_refused(manager: Manager, token: str) -> None:
    error = await failure(manager.admin.ListProxies(pb.ListProxiesRequest(page_size=1001, page_token=token)))
    assert [violation.field for violation in error.violations] == ["page_size", "page_token"]


async def test_drain_lets_the_lease_finish_and_enable_undoes_it(manager: Manager, pool: Pool) -> None:
    await manager.provision(2)
    held = await lease(manager, "a")
    everything = pb.ProxyFilter(country="us")
    drain = pb.UpdateProxiesRequest(filter=everything, action=pb.DRAIN)
    tried = pb.UpdateProxiesRequest(filter=everything, action=pb.DRAIN, dry_run=True)
    assert await manager.admin.UpdateProxies(tried) == pb.UpdateProxiesResponse(matched=2, changed=2)
    assert (await manager.admin.GetPoolStatus(pb.GetPoolStatusRequest())).total.drained == 0
    assert await manager.admin.UpdateProxies(drain) == pb.UpdateProxiesResponse(matched=2, changed=2)
    assert await manager.admin.UpdateProxies(drain) == pb.UpdateProxiesResponse(matched=2, changed=0)
    assert (await failure(manager.leases.Lease(pb.LeaseRequest(request_id="b")))).reason == "NO_AVAILABLE_IP"
    await manager.leases.Heartbeat(beat(held))
    await manager.leases.Release(ending(held))
    enable = pb.UpdateProxiesRequest(filter=pb.ProxyFilter(state=pb.DRAINED), action=pb.ENABLE)
    assert await manager.admin.UpdateProxies(enable) == pb.UpdateProxiesResponse(matched=2, changed=2)
    assert (await lease(manager, "b")).proxy.ip_address != held.proxy.ip_address
    record = await rows(pool, "SELECT action, actor, details FROM pool.audit ORDER BY id")
    assert [entry["action"] for entry in record] == ["PROVISION", "DRAIN", "ENABLE"]
    assert json.loads(record[1]["details"]) == {
        "changed": 2,
        "filter": {"country": "us"},
        "proxy_ids": [1, 2],
    }
    assert record[1]["actor"].startswith("ipv4:127.0.0.1")


async def test_a_change_that_cannot_be_recorded_is_not_made(manager: Manager, pool: Pool) -> None:
    await manager.provision(1)
    held = await lease(manager, "a")
    await pool.execute("ALTER TABLE pool.audit ADD CONSTRAINT is_full CHECK (actor = '') NOT VALID")
    added = pb.ProvisionProxiesRequest(proxies=[pb.ProxySpec(ip_address="x", ip_port=1, country="us")])
    drained = pb.UpdateProxiesRequest(proxy_ids=[1], action=pb.DRAIN)
    deleted = pb.DeleteProxiesRequest(proxy_ids=[1], revoke_leases=True)
    revoked = pb.RevokeLeaseRequest(lease_id=held.lease_id)
    # One after the other: each has its own deadline.
    assert (await failure(manager.admin.ProvisionProxies(added))).code is Code.INTERNAL
    assert (await failure(manager.admin.UpdateProxies(drained))).code is Code.INTERNAL
    assert (await failure(manager.admin.DeleteProxies(deleted))).code is Code.INTERNAL
    assert (await failure(manager.admin.RevokeLease(revoked))).code is Code.INTERNAL
    status = (await manager.admin.GetPoolStatus(pb.GetPoolStatusRequest())).total
    assert (status.total, status.in_use, status.drained) == (1, 1, 0)


async def test_the_record_names_the_operator(manager: Manager, pool: Pool) -> None:
    await manager.provision(1)
    await manager.admin.UpdateProxies(
        pb.UpdateProxiesRequest(proxy_ids=[1, 1, 99], action=pb.DRAIN), metadata=(("x-operator", "anna"),)
    )
    record = await rows(pool, "SELECT actor, details FROM pool.audit WHERE action = 'DRAIN'")
    assert record[0]["actor"].startswith("anna from ")
    assert json.loads(record[0]["details"]) == {"changed": 1, "proxy_ids": [1, 99]}


async def test_reset_health_brings_a_quarantined_ip_back(database: str) -> None:
    async with serve_in_process(database, cooldown=0, failure_limit=1) as manager:
        await manager.provision(1)
        await manager.leases.Release(ending(await lease(manager, "a"), pb.PROXY_FAILURE))
        assert (await failure(manager.leases.Lease(pb.LeaseRequest(request_id="b")))).reason == "NO_AVAILABLE_IP"
        reset = pb.UpdateProxiesRequest(filter=pb.ProxyFilter(state=pb.UNHEALTHY), action=pb.RESET_HEALTH)
        assert await manager.admin.UpdateProxies(reset) == pb.UpdateProxiesResponse(matched=1, changed=1)
        await lease(manager, "b")


@pytest.mark.parametrize(
    "selection",
    [
        {},
        {"filter": pb.ProxyFilter()},
        {"proxy_ids": [1], "filter": pb.ProxyFilter(country="us")},
        {"filter": pb.ProxyFilter(country="zz")},
    ],
)
async def test_a_change_says_what_it_means(manager: Manager, selection: dict[str, Any]) -> None:
    await manager.provision(1)
    update = manager.admin.UpdateProxies(pb.UpdateProxiesRequest(action=pb.DRAIN, **selection))
    delete = manager.admin.DeleteProxies(pb.DeleteProxiesRequest(**selection))
    for call in (update, delete):
        (violation,) = (await failure(call)).violations
        assert violation.field.startswith("filter")
    nothing = await failure(manager.admin.UpdateProxies(pb.UpdateProxiesRequest(proxy_ids=[1])))
    assert [violation.field for violation in nothing.violations] == ["action"]


async def test_a_proxy_in_use_is_deleted_only_if_its_lease_may_be_revoked(manager: Manager, pool: Pool) -> None:
    await manager.provision(3)
    held = await lease(manager, "a")
    american = pb.ProxyFilter(country="us")
    error = await failure(manager.admin.DeleteProxies(pb.DeleteProxiesRequest(filter=american)))
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "PROXY_IN_USE")
    assert (await manager.admin.GetPoolStatus(pb.GetPoolStatusRequest())).total.total == 3
    for dry_run in (True, False):
        request = pb.DeleteProxiesRequest(filter=american, revoke_leases=True, dry_run=dry_run)
        assert await manager.admin.DeleteProxies(request) == pb.DeleteProxiesResponse(deleted=3, revoked=1)
    assert (await manager.admin.GetPoolStatus(pb.GetPoolStatusRequest())).total.total == 0
    for call in (manager.leases.Heartbeat(beat(held)), manager.leases.Release(ending(held))):
        assert (await failure(call)).reason == "LEASE_LOST"
    assert await rows(pool, "SELECT request_id, ending FROM pool.leases") == [{"request_id": "a", "ending": "REVOKED"}]
    # Added again, what was in use rests on, for its holder may not have heard yet.
    await manager.provision(3)
    status = (await manager.admin.GetPoolStatus(pb.GetPoolStatusRequest())).total
    assert (status.available, status.cooldown) == (2, 1)
    (again,) = (
        await manager.admin.ListProxies(pb.ListProxiesRequest(filter=pb.ProxyFilter(state=pb.COOLDOWN)))
    ).proxies
    assert again.ip_address == held.proxy.ip_address
    assert to_datetime(again.available_time) == to_datetime(held.expire_time) + timedelta(seconds=60)
    assert (await lease(manager, "b")).fence > held.fence


async def test_a_revoked_lease_is_lost_and_its_ip_cools_down(manager: Manager) -> None:
    await manager.provision(1)
    held = await lease(manager, "a")
    for dry_run in (True, False):
        done = await manager.admin.RevokeLease(pb.RevokeLeaseRequest(lease_id=held.lease_id, dry_run=dry_run))
        assert done.revoked
        if dry_run:
            await manager.leases.Heartbeat(beat(held))
    again = await manager.admin.RevokeLease(pb.RevokeLeaseRequest(lease_id=held.lease_id))
    assert (again.revoked, again.available_time) == (False, done.available_time)
    for call in (manager.leases.Heartbeat(beat(held)), manager.leases.Release(ending(held))):
        assert (await failure(call)).reason == "LEASE_LOST"
    status = (await manager.admin.GetPoolStatus(pb.GetPoolStatusRequest())).total
    assert (status.cooldown, status.next_available_time) == (1, done.available_time)
    invented = held.lease_id[:-1] + ("0" if held.lease_id[-1] != "0" else "1")
    for unknown in (invented, "nonsense"):
        error = await failure(manager.admin.RevokeLease(pb.RevokeLeaseRequest(lease_id=unknown)))
        assert error.reason == "UNKNOWN_LEASE"


async def test_who_held_this_ip_when_can_be_answered(database: str) -> None:
    async with serve_in_process(database, cooldown=0) as manager:
        await manager.provision(1)
        first = await lease(manager, "first", offer="summer", holder="gateway-1", ttl=to_duration(60))
        await manager.leases.Release(ending(first, pb.TARGET_FAILURE))
        second = await lease(manager, "second", offer="winter")
        await manager.admin.RevokeLease(pb.RevokeLeaseRequest(lease_id=second.lease_id))
        third = await lease(manager, "third", offer="summer")

        async def listed(**values: Any) -> list[str]:
            page = await manager.admin.ListLeases(pb.ListLeasesRequest(**values))
            return [info.request_id for info in page.leases]

        assert await listed() == ["third"]
        past: dict[str, Any] = {"include_past": True}
        assert await listed(**past) == ["third", "second", "first"]
        assert await listed(offer="summer", **past) == ["third", "first"]
        assert await listed(holder="gateway-1", **past) == ["first"]
        assert await listed(ip_address="proxy-us-1", country="US", **past) == ["third", "second", "first"]
        assert await listed(country="gb", **past) == []
        whole = (await manager.admin.ListLeases(pb.ListLeasesRequest(**past))).leases
        assert [info.lease_id for info in whole] == [third.lease_id, second.lease_id, first.lease_id]
        assert [(info.live, info.revoked, info.outcome) for info in whole] == [
            (True, False, pb.OUTCOME_UNSPECIFIED),
            (False, True, pb.OUTCOME_UNSPECIFIED),
            (False, False, pb.TARGET_FAILURE),
        ]
        assert whole[0].HasField("release_time") is False
        ended = to_datetime(whole[2].release_time)
        assert ended < to_datetime(whole[2].expire_time)
        assert await listed(since=to_timestamp(to_datetime(whole[1].grant_time)), **past) == ["third", "second"]
        assert await listed(until=whole[1].grant_time, **past) == ["first"]
        page = await manager.admin.ListLeases(pb.ListLeasesRequest(page_size=2, **past))
        assert await listed(page_size=2, page_token=page.next_page_token, **past) == ["first"]


async def test_changes_of_all_kinds_need_the_operator_token(database: str) -> None:
    async with serve_in_process(database, operator_token="open sesame") as manager:
        for call in (
            manager.admin.UpdateProxies(pb.UpdateProxiesRequest()),
            manager.admin.DeleteProxies(pb.DeleteProxiesRequest()),
            manager.admin.RevokeLease(pb.RevokeLeaseRequest()),
            manager.admin.RunMaintenance(pb.RunMaintenanceRequest()),
        ):
            assert (await failure(call)).code is Code.UNAUTHENTICATED


async def test_watching_shows_everything_and_then_every_change(manager: Manager) -> None:
    await manager.provision(3)
    stream = manager.admin.WatchPool(pb.WatchPoolRequest(interval=to_duration(0.1)))
    async with asyncio.timeout(10):
        first = await stream.read()
        assert isinstance(first, pb.WatchPoolResponse)
        assert (first.status.total.available, len(first.proxies)) == (3, 3)
        held = await lease(manager, "a")
        second = await stream.read()
        assert isinstance(second, pb.WatchPoolResponse)
        assert [(info.ip_address, info.state) for info in second.proxies] == [(held.proxy.ip_address, pb.IN_USE)]
        await manager.admin.DeleteProxies(pb.DeleteProxiesRequest(proxy_ids=[3]))
        third = await stream.read()
        assert isinstance(third, pb.WatchPoolResponse)
        assert list(third.deleted_proxy_ids) == [3]
    stream.cancel()


async def test_watching_a_pool_that_is_empty_shows_that(manager: Manager) -> None:
    stream = manager.admin.WatchPool(pb.WatchPoolRequest())
    first = await stream.read()
    assert isinstance(first, pb.WatchPoolResponse)
    assert first.status.total.total == 0
    stream.cancel()
    slow = manager.admin.WatchPool(pb.WatchPoolRequest(interval=to_duration(61)))
    with pytest.raises(aio.AioRpcError) as caught:
        await slow.read()
    assert from_rpc_error(caught.value).reason == "INVALID_REQUEST"


async def test_a_country_falls_back_in_the_order_that_was_set(database: str) -> None:
    async with serve_in_process(database, fallbacks={"gb": ("ie", "fr")}) as manager:
        for country in ("gb", "fr", "de"):
            await manager.provision(1, country=country)
        got = [(await lease(manager, name, country="gb")).proxy.country for name in ("a", "b", "a")]
        assert got == ["gb", "fr", "gb"]
        assert (await failure(manager.leases.Lease(pb.LeaseRequest(request_id="c", country="gb")))).retry_after
        assert (await failure(manager.leases.Lease(pb.LeaseRequest(request_id="d", country="fr")))).retry_after
