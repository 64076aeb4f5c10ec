"""Proves what callers of the gRPC service see: leases with credentials, typed errors that name every faulty field,
batches that fail item by item, and the operator token.
"""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from grpc import aio

from clicktrace.common.v1 import common_pb2
from clicktrace.pool.v1 import pool_pb2 as pb
from libs.common.errors import ClicktraceError, Code
from libs.common.rpc.status import from_rpc_error, from_status
from libs.common.rpc.times import to_datetime, to_duration
from tests.integration.pool_manager.rig import Manager, serve_in_process
from tests.integration.pool_manager.store import Pool, row_locked


async def failure(call: "aio.UnaryUnaryCall[Any, Any]") -> ClicktraceError:
    """Returns the error of a call that must fail."""
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def test_a_lease_lives_through_heartbeat_and_release(manager: Manager) -> None:
    await manager.provision(1, country="us")
    granted = await manager.leases.Lease(pb.LeaseRequest(request_id="click", country="US", holder="gateway-1"))
    lease = granted.lease
    assert (lease.proxy.ip_address, lease.proxy.ip_port, lease.proxy.protocol) == ("proxy-us-1", 7000, common_pb2.HTTP)
    assert (lease.proxy.username, lease.proxy.password, lease.proxy.provider) == ("", "", "default")
    assert (to_datetime(lease.expire_time) - to_datetime(granted.db_time)).total_seconds() == 30
    kept = await manager.leases.Heartbeat(
        pb.HeartbeatRequest(lease_id=lease.lease_id, fence=lease.fence, ttl=to_duration(45))
    )
    assert (to_datetime(kept.expire_time) - to_datetime(kept.db_time)).total_seconds() == 45
    ending = pb.ReleaseRequest(lease_id=lease.lease_id, fence=lease.fence, outcome=pb.SUCCESS)
    released = await manager.leases.Release(ending)
    assert (to_datetime(released.available_time) - to_datetime(released.db_time)).total_seconds() == 60
    assert (await manager.leases.Release(ending)).available_time == released.available_time
    late = await failure(manager.leases.Heartbeat(pb.HeartbeatRequest(lease_id=lease.lease_id, fence=lease.fence)))
    assert (late.code, late.reason) == (Code.FAILED_PRECONDITION, "LEASE_LOST")


async def test_no_free_ip_says_when_to_come_again(manager: Manager) -> None:
    await manager.provision(1)
    await manager.leases.Lease(pb.LeaseRequest(request_id="a", ttl=to_duration(10)))
    error = await failure(manager.leases.Lease(pb.LeaseRequest(request_id="b")))
    assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, "NO_AVAILABLE_IP")
    assert error.retry_after is not None
    assert 69 < error.retry_after <= 70
    nowhere = await failure(manager.leases.Lease(pb.LeaseRequest(request_id="c", country="de")))
    assert (nowhere.reason, nowhere.retry_after) == ("NO_AVAILABLE_IP", None)


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (pb.LeaseRequest(), {"request_id"}),
        (pb.LeaseRequest(request_id="x" * 129), {"request_id"}),
        (pb.LeaseRequest(request_id="x" * 1_000_000), {"request_id"}),
        (
            pb.LeaseRequest(request_id="a\0b", offer="it's", holder='"', country="USA"),
            {"request_id", "offer", "holder", "country"},
        ),
        (pb.LeaseRequest(request_id="a", country="zz"), {"country"}),
        (pb.LeaseRequest(request_id="a", country="uk"), {"country"}),
        (pb.LeaseRequest(request_id="a", country="'; DROP TABLE pool.proxies; --"), {"country"}),
        (pb.LeaseRequest(request_id="a", ttl=Duration()), {"ttl"}),
        (pb.LeaseRequest(request_id="a", ttl=Duration(seconds=-1), wait=Duration(nanos=-1)), {"ttl", "wait"}),
        (pb.LeaseRequest(request_id="a", ttl=Duration(seconds=10**11), wait=Duration(seconds=61)), {"ttl", "wait"}),
    ],
)
async def test_every_faulty_field_of_a_lease_is_named(
    manager: Manager, request_: pb.LeaseRequest, fields: set[str]
) -> None:
    error = await failure(manager.leases.Lease(request_))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert {violation.field for violation in error.violations} == fields


async def test_every_faulty_field_of_a_heartbeat_and_a_release_is_named(manager: Manager) -> None:
    beat = await failure(manager.leases.Heartbeat(pb.HeartbeatRequest(fence=-1, ttl=Duration(seconds=3600))))
    assert {violation.field for violation in beat.violations} == {"lease_id", "fence", "ttl"}
    ending = pb.ReleaseRequest(failure_reason="\n", trace_time=Duration(seconds=-5), bytes=-1)
    end = await failure(manager.leases.Release(ending))
    assert {violation.field for violation in end.violations} == {
        "lease_id", "outcome", "failure_reason", "trace_time", "bytes",
    }  # fmt: skip
    strange = pb.ReleaseRequest(lease_id="1.1.x", fence=1)
    strange.outcome = 99  # type: ignore[assignment]  # a value of a later version
    assert {violation.field for violation in (await failure(manager.leases.Release(strange))).violations} == {"outcome"}


async def test_tokens_that_cannot_be_ours_are_unknown(manager: Manager) -> None:
    await manager.provision(1)
    lease = (await manager.leases.Lease(pb.LeaseRequest(request_id="a"))).lease
    proxy_id, fence, nonce = lease.lease_id.split(".")
    for lease_id in (
        "nonsense",
        "1.2",
        f"0.1.{nonce}",
        f"+1.{fence}.{nonce}",
        f"{10**19}.{fence}.{nonce}",
        f"{proxy_id}.{10**18}.{nonce}",
        f"{proxy_id}.{fence}.{nonce[:-1]}",
        f"{proxy_id}.{fence}.{'0' * 32}",
    ):
        named = int(lease_id.split(".")[1]) if lease_id.count(".") == 2 else lease.fence
        error = await failure(manager.leases.Heartbeat(pb.HeartbeatRequest(lease_id=lease_id, fence=named)))
        assert (error.code, error.reason) == (Code.NOT_FOUND, "UNKNOWN_LEASE"), lease_id
    stranger = pb.ReleaseRequest(lease_id=lease.lease_id, fence=lease.fence + 1, outcome=pb.SUCCESS)
    assert (await failure(manager.leases.Release(stranger))).reason == "LEASE_LOST"
    await manager.leases.Heartbeat(pb.HeartbeatRequest(lease_id=lease.lease_id, fence=lease.fence))


async def test_a_batch_answers_each_item_by_itself(manager: Manager) -> None:
    await manager.provision(2)
    granted = await manager.leases.BatchLease(
        pb.BatchLeaseRequest(
            requests=[
                pb.LeaseRequest(request_id="a"),
                pb.LeaseRequest(),
                pb.LeaseRequest(request_id="a"),
                pb.LeaseRequest(request_id="b", country="zz"),
                pb.LeaseRequest(request_id="c"),
                pb.LeaseRequest(request_id="d"),
            ]
        )
    )
    results = granted.results
    assert [result.WhichOneof("result") for result in results] == [
        "response", "error", "response", "error", "response", "error",
    ]  # fmt: skip
    assert results[0].response.lease == results[2].response.lease
    assert from_status(results[1].error).violations[0].field == "request_id"
    assert from_status(results[3].error).violations[0].field == "country"
    refused = from_status(results[5].error)
    assert refused.reason == "NO_AVAILABLE_IP"
    assert refused.retry_after is not None
    first, second = results[0].response.lease, results[4].response.lease
    beats = await manager.leases.BatchHeartbeat(
        pb.BatchHeartbeatRequest(
            requests=[
                pb.HeartbeatRequest(lease_id=first.lease_id, fence=first.fence),
                pb.HeartbeatRequest(lease_id="invented", fence=1),
                pb.HeartbeatRequest(lease_id=second.lease_id, fence=first.fence),
            ]
        )
    )
    assert beats.results[0].HasField("response")
    assert [from_status(result.error).reason for result in beats.results[1:]] == ["UNKNOWN_LEASE", "LEASE_LOST"]
    ends = await manager.leases.BatchRelease(
        pb.BatchReleaseRequest(
            requests=[
                pb.ReleaseRequest(lease_id=first.lease_id, fence=first.fence, outcome=pb.SUCCESS),
                pb.ReleaseRequest(lease_id=second.lease_id, fence=second.fence),
                pb.ReleaseRequest(lease_id=second.lease_id, fence=second.fence, outcome=pb.CANCELLED),
            ]
        )
    )
    assert [result.WhichOneof("result") for result in ends.results] == ["response", "error", "response"]


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_batch_has_1_to_1000_items(manager: Manager, count: int) -> None:
    requests = [pb.LeaseRequest(request_id=str(number)) for number in range(count)]
    error = await failure(manager.leases.BatchLease(pb.BatchLeaseRequest(requests=requests)))
    assert [violation.field for violation in error.violations] == ["requests"]


async def test_a_batch_of_1000_is_served(manager: Manager) -> None:
    await manager.provision(1000)
    requests = [pb.LeaseRequest(request_id=str(number)) for number in range(1000)]
    results = (await manager.leases.BatchLease(pb.BatchLeaseRequest(requests=requests))).results
    assert len({result.response.lease.proxy.ip_address for result in results}) == 1000


async def test_credentials_come_from_the_file_of_the_provider(database: str, tmp_path: Path) -> None:
    (tmp_path / "luna.toml").write_text(
        'username = "customer"\npassword = "s3cret"\nusername_template = "{username}-session-{ip_address}-{country}"\n'
    )
    async with serve_in_process(database, credentials_dir=tmp_path) as manager:
        spec = pb.ProxySpec(
            ip_address="10.1.2.3", ip_port=1080, country="GB", provider="luna", protocol=common_pb2.SOCKS5
        )
        await manager.admin.ProvisionProxies(pb.ProvisionProxiesRequest(proxies=[spec]))
        proxy = (await manager.leases.Lease(pb.LeaseRequest(request_id="click"))).lease.proxy
    assert proxy == common_pb2.Proxy(
        ip_address="10.1.2.3", ip_port=1080, protocol=common_pb2.SOCKS5, username="customer-session-10.1.2.3-gb",
        password="s3cret", provider="luna", country="gb",
    )  # fmt: skip


async def test_a_slot_whose_login_cannot_travel_costs_the_others_of_its_batch_nothing(
    database: str, tmp_path: Path
) -> None:
    (tmp_path / "web.toml").write_text('profile = "webshare"\nusername = "a-long-customer"\npassword = "s3cret"\n')
    names = [".".join(["s" * 60] * 4), "slot-1"]
    async with serve_in_process(database, credentials_dir=tmp_path) as manager:
        specs = [pb.ProxySpec(ip_address=name, ip_port=80, country="us", provider="web") for name in names]
        await manager.admin.ProvisionProxies(pb.ProvisionProxiesRequest(proxies=specs))
        requests = [pb.LeaseRequest(request_id=name[:6]) for name in names]
        results = (await manager.leases.BatchLease(pb.BatchLeaseRequest(requests=requests))).results
    assert sorted(result.WhichOneof("result") or "" for result in results) == ["error", "response"]
    refused = [from_status(result.error).reason for result in results if result.HasField("error")]
    assert refused == ["PROVIDER_LOGIN_UNUSABLE"]


SEEDS_ROWS = """
INSERT INTO ip_rotation_pool (ip_address, ip_port, country, provider)
SELECT
  'luna-us-slot-' || generate_series(1, 10),
  '7000',
  'us',
  'luna';
"""


async def test_the_rows_of_the_source_document_lead_to_the_gateway_of_their_provider(
    database: str, pool: Pool, tmp_path: Path
) -> None:
    await pool.execute(SEEDS_ROWS)
    (tmp_path / "luna.toml").write_text('profile = "lunaproxy"\nusername = "customer"\npassword = "s3cret"\n')
    async with serve_in_process(database, credentials_dir=tmp_path) as manager:
        requests = [pb.LeaseRequest(request_id=f"click-{number}") for number in range(10)]
        granted = await manager.leases.BatchLease(pb.BatchLeaseRequest(requests=requests))
        repeated = await manager.leases.Lease(requests[3])
    proxies = [result.response.lease.proxy for result in granted.results]
    assert {(proxy.ip_address, proxy.ip_port) for proxy in proxies} == {("pr.lunaproxy.com", 12233)}
    assert len({proxy.username for proxy in proxies}) == 10
    assert all(re.fullmatch(r"user-customer-region-us-sessid-\w{10}-sesstime-2", proxy.username) for proxy in proxies)
    assert repeated.lease.proxy == proxies[3]


async def test_a_caller_that_gave_up_leaves_no_lease_behind(manager: Manager, pool: Pool) -> None:
    await manager.provision(1)
    # What keeps simultaneous repeats apart holds the statement up here.
    async with pool.acquire() as connection:
        await connection.execute("SELECT pg_advisory_lock(hashtextextended('given-up', 0))")
        call = manager.leases.Lease(pb.LeaseRequest(request_id="given-up"))
        async with asyncio.timeout(10):
            while not await pool.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
                await asyncio.sleep(0.005)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        # The answer to what is asked later on the same connection says that the server knows of the cancel. Of a cancel
        # that crosses the answer no server can know; tests/integration/gateway/clients has what the caller does then.
        await manager.admin.GetPoolStatus(pb.GetPoolStatusRequest())
        await connection.execute("SELECT pg_advisory_unlock_all()")
    # The only IP was granted, and comes back without a cooldown.
    async with asyncio.timeout(10):
        while await pool.fetchval("SELECT ending FROM pool.proxies") != "RETURNED":
            await asyncio.sleep(0.005)
    await manager.leases.Lease(pb.LeaseRequest(request_id="next"))


async def test_provisioning_names_every_bad_row_and_changes_nothing(manager: Manager) -> None:
    rows = [
        pb.ProxySpec(ip_address="proxy-1", ip_port=7000, country="us"),
        pb.ProxySpec(ip_address="bad host", ip_port=7000, country="us"),
        pb.ProxySpec(ip_address="proxy-2", ip_port=70000, country="xx"),
        pb.ProxySpec(ip_address="PROXY-1", ip_port=7000, country="us"),
        pb.ProxySpec(ip_address="proxy-3\r\nX: y", ip_port=0, country="us", provider="../etc"),
        pb.ProxySpec(ip_address="proxy-4", ip_port=1, country="us", cooldown=Duration(seconds=-1)),
        pb.ProxySpec(ip_address="0.0.0.0", ip_port=1, country="us"),
        pb.ProxySpec(ip_address="1.2.3", ip_port=1, country="us"),
    ]
    error = await failure(manager.admin.ProvisionProxies(pb.ProvisionProxiesRequest(proxies=rows)))
    assert {violation.field for violation in error.violations} == {
        "proxies[1].ip_address", "proxies[2].ip_port", "proxies[2].country", "proxies[3]", "proxies[4].ip_address",
        "proxies[4].ip_port", "proxies[4].provider", "proxies[5].cooldown", "proxies[6].ip_address",
        "proxies[7].ip_address",
    }  # fmt: skip
    assert (await manager.admin.GetPoolStatus(pb.GetPoolStatusRequest())).total.total == 0


async def test_a_file_of_bad_rows_is_named_row_by_row(manager: Manager) -> None:
    specs = [pb.ProxySpec(ip_address="proxy", ip_port=number, country="zz") for number in range(1, 1001)]
    error = await failure(manager.admin.ProvisionProxies(pb.ProvisionProxiesRequest(proxies=specs)))
    assert error.reason == "INVALID_REQUEST"
    assert len(error.violations) > 50, error


async def test_provisioning_is_safe_to_repeat_and_to_try(manager: Manager) -> None:
    specs = [pb.ProxySpec(ip_address=f"proxy-{number}", ip_port=7000, country="us") for number in range(3)]
    ask = pb.ProvisionProxiesRequest
    answer = pb.ProvisionProxiesResponse
    assert await manager.admin.ProvisionProxies(ask(proxies=specs, dry_run=True)) == answer(created=3)
    assert await manager.admin.ProvisionProxies(ask(proxies=specs)) == answer(created=3)
    assert await manager.admin.ProvisionProxies(ask(proxies=specs)) == answer(unchanged=3)
    changed = [*specs[:2], pb.ProxySpec(ip_address="proxy-2", ip_port=7000, country="gb"),
               pb.ProxySpec(ip_address="proxy-2", ip_port=7001, country="gb")]  # fmt: skip
    for dry_run in (True, False):
        done = await manager.admin.ProvisionProxies(ask(proxies=changed, dry_run=dry_run))
        assert done == answer(created=1, updated=1, unchanged=2)


async def test_the_status_counts_by_country_and_state(manager: Manager) -> None:
    await manager.provision(3, country="us")
    await manager.provision(1, country="gb")
    granted = await manager.leases.Lease(pb.LeaseRequest(request_id="a", country="us"))
    await manager.leases.Lease(pb.LeaseRequest(request_id="b", country="gb"))
    lease = granted.lease
    await manager.leases.Release(
        pb.ReleaseRequest(lease_id=lease.lease_id, fence=lease.fence, outcome=pb.TARGET_FAILURE)
    )
    status = await manager.admin.GetPoolStatus(pb.GetPoolStatusRequest())
    assert [census.country for census in status.countries] == ["gb", "us"]
    british, american = status.countries
    assert (american.total, american.available, american.cooldown, american.in_use) == (3, 2, 1, 0)
    assert (british.total, british.available, british.in_use, british.utilization) == (1, 0, 1, 1.0)
    assert american.next_available_time == status.db_time
    assert (to_datetime(british.next_available_time) - to_datetime(status.db_time)).total_seconds() > 80
    assert (status.total.total, status.total.available, status.total.utilization) == (4, 2, 0.5)
    only = await manager.admin.GetPoolStatus(pb.GetPoolStatusRequest(country="GB"))
    assert (only.total.country, only.total.total, len(only.countries)) == ("gb", 1, 1)
    none = await manager.admin.GetPoolStatus(pb.GetPoolStatusRequest(country="de"))
    assert (none.total.total, none.total.HasField("next_available_time"), len(none.countries)) == (0, False, 0)


async def test_changes_need_the_operator_token_where_there_is_one(database: str) -> None:
    spec = pb.ProxySpec(ip_address="proxy-1", ip_port=7000, country="us")
    ask = pb.ProvisionProxiesRequest(proxies=[spec])
    async with serve_in_process(database, operator_token="open sesame") as manager:
        assert (await failure(manager.admin.ProvisionProxies(ask))).code is Code.UNAUTHENTICATED
        wrong = manager.admin.ProvisionProxies(ask, metadata=(("authorization", "Bearer open"),))
        assert (await failure(wrong)).code is Code.PERMISSION_DENIED
        await manager.admin.GetPoolStatus(pb.GetPoolStatusRequest())
        await manager.admin.ProvisionProxies(ask, metadata=(("authorization", "Bearer open sesame"),))


async def test_a_database_that_does_not_answer_is_unavailable_before_the_deadline(manager: Manager, pool: Pool) -> None:
    await manager.provision(1)
    lease = (await manager.leases.Lease(pb.LeaseRequest(request_id="a"))).lease
    beat = pb.HeartbeatRequest(lease_id=lease.lease_id, fence=lease.fence)
    async with row_locked(pool, int(lease.lease_id.partition(".")[0])):
        error = await failure(manager.leases.Heartbeat(beat, timeout=0.3))
    assert (error.code, error.reason) == (Code.UNAVAILABLE, "DATABASE_UNAVAILABLE")
    await manager.leases.Heartbeat(beat)


async def test_lost_connections_are_renewed_without_a_word(manager: Manager, pool: Pool) -> None:
    await manager.provision(2)
    lease = (await manager.leases.Lease(pb.LeaseRequest(request_id="a"))).lease
    await pool.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE application_name LIKE 'pool_manager%' AND datname = current_database()"
    )
    await manager.leases.Heartbeat(pb.HeartbeatRequest(lease_id=lease.lease_id, fence=lease.fence))
    assert (await manager.leases.Lease(pb.LeaseRequest(request_id="a"))).lease.lease_id == lease.lease_id
