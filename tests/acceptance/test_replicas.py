"""Several gateways on one database: the same click is one click, and a gateway that stops or dies strands nothing."""

import asyncio
import signal

import aiohttp
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from clicktrace.gateway.v1 import gateway_pb2 as pb
from clicktrace.pool.v1 import pool_pb2
from libs.common.rpc import times
from tests.support.lab import Lab
from tests.support.processes import gateways
from tests.support.system import System

pytestmark = pytest.mark.xdist_group("quick system")


async def test_fifty_of_the_same_click_at_once_on_two_gateways_are_one_lease_one_trace_and_fifty_answers(
    quick: System, lab: Lab
) -> None:
    await lab.add_proxies(5)
    offer = await lab.offer()
    lab.chain("aff=1", "clickid=9", gate="/1")
    async with gateways(quick, 1) as (other,):
        both = (quick, other)
        clicking = [asyncio.create_task(both[number % 2].click(f"offer={offer}&gclid=same")) for number in range(50)]
        await lab.walked("/1")
        assert (await lab.count()).in_use == 1
        lab.gates["/1"].set()
        answers = await asyncio.gather(*clicking)
        assert {answer.status for answer in answers} == {302}
        assert {answer.location for answer in answers} == {f"{lab.url('/landing', host='shop')}?clickid=9&gclid=same"}
        assert len({answer.click_id for answer in answers}) == 50
        clicks = [await other.ended(answer.click_id) for answer in answers]
    (leader,) = [click for click in clicks if not click.joined_click_id]
    assert {click.joined_click_id for click in clicks} == {"", leader.click_id}
    assert {click.status for click in clicks} == {pb.COMPLETED}
    assert lab.asked.count("/start") == 1
    past = await lab.pool.ListLeases(pool_pb2.ListLeasesRequest(country=lab.country, include_past=True))
    assert len(past.leases) == 1


async def test_a_change_through_one_gateway_is_seen_by_clicks_and_watchers_of_the_other(
    quick: System, lab: Lab
) -> None:
    await lab.add_proxies(2)
    offer = await lab.offer()
    lab.chain("clickid=1")
    async with gateways(quick, 1) as (other,):
        assert "clickid=1" in (await other.click(f"offer={offer}&gclid=1")).location
        watching = lab.log.WatchClicks(pb.WatchClicksRequest(offer=offer))
        await watching.wait_for_connection()
        changed = pb.Offer(name=offer, mode=pb.REDIRECT_ONLY)
        await lab.offers.UpdateOffer(pb.UpdateOfferRequest(offer=changed, update_mask=FieldMask(paths=["mode"])))
        async with asyncio.timeout(30):
            number = 1
            while "clickid=1" in (answer := await other.click(f"offer={offer}&gclid={number}")).location:
                number += 1
            # What happened at the other gateway is told here.
            told = pb.Click()
            while told.click_id != answer.click_id:
                response = await watching.read()
                assert isinstance(response, pb.WatchClicksResponse)
                told = response.click
        assert told.reason == "REDIRECT_ONLY"
        watching.cancel()


async def test_sigterm_answers_who_waits_lets_traces_end_within_their_grace_and_gives_all_leases_back(
    quick: System, lab: Lab
) -> None:
    await lab.add_proxies(3)
    patient = await lab.offer("patient")
    late = await lab.offer("late", mode=pb.BEACON)
    never = await lab.offer("never", tracking_url=lab.url("/never"), mode=pb.BEACON)
    lab.chain("", "clickid=1", gate="/1")
    lab.gates["/never"] = asyncio.Event()
    async with gateways(quick, 1, grace="2s") as (gateway,):
        in_background = [await gateway.click(f"offer={name}&gclid=1") for name in (late, never)]
        waiting = asyncio.create_task(gateway.click(f"offer={patient}&gclid=2"))
        await lab.walked("/1", 2)
        await lab.walked("/never")
        assert await gateway.internal("/readyz") == 200

        gateway.service.send(signal.SIGTERM)
        async with asyncio.timeout(30):
            while await gateway.internal("/readyz") == 200:
                await asyncio.sleep(0.01)
            # The public port is closed as soon as nobody new is wanted, while the one who waits still has a place.
            while not await _refused(gateway.ports["http"]):
                await asyncio.sleep(0.01)
        assert await gateway.internal("/healthz") == 200
        assert not waiting.done()
        lab.gates["/1"].set()
        assert (await waiting).location == f"{lab.url('/landing', host='shop')}?clickid=1&gclid=2"
        assert await gateway.service.ended() == 0
        assert not [entry for entry in gateway.service.log if entry.get("level") == "error"]

    async with asyncio.timeout(30):
        while await lab.leases():
            await asyncio.sleep(0.02)
    clicks = [await quick.recorded(answer.click_id) for answer in [*in_background, await waiting]]
    assert [(click.status, [attempt.outcome for attempt in click.attempts]) for click in clicks] == [
        (pb.COMPLETED, ["SUCCESS"]),
        (pb.FAILED, ["CANCELLED"]),
        (pb.COMPLETED, ["SUCCESS"]),
    ]
    await lab.until_available(3)


async def _refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return True
    writer.close()
    return False


async def test_a_lease_that_an_operator_revokes_ends_its_trace(quick: System, lab: Lab) -> None:
    await lab.add_proxies()
    offer = await lab.offer()
    lab.chain("", "clickid=1", gate="/1")
    async with gateways(quick, 1, lease_ttl="2s") as (gateway,):
        clicking = asyncio.create_task(gateway.click(f"offer={offer}&gclid=1"))
        await lab.walked("/1")
        (lease,) = await lab.leases()
        await lab.pool.RevokeLease(pool_pb2.RevokeLeaseRequest(lease_id=lease.lease_id))
        answer = await clicking
        assert answer.location == f"{lab.url('/start')}?gclid=1"
        click = await gateway.ended(answer.click_id)
        assert (click.status, click.reason) == (pb.FAILED, "LEASE_LOST")
        assert [attempt.failure_reason for attempt in click.attempts] == ["LEASE_LOST"]
        # Nobody is in the chain any more to be led on.
        lab.gates["/1"].set()
        await lab.origin.until(lambda: lab.origin.open == 0)
        assert [asked.partition("?")[0] for asked in lab.asked] == ["/start", "/1"]


@pytest.mark.chaos
async def test_after_kill_9_leases_come_free_by_their_ttl_and_clicks_show_as_abandoned(quick: System, lab: Lab) -> None:
    await lab.add_proxies(2)
    offer = await lab.offer()
    lab.chain("", "clickid=1", gate="/1")
    async with gateways(quick, 1, lease_ttl="2s", trace_timeout="1s") as (gateway,):
        clicking = asyncio.create_task(gateway.click(f"offer={offer}&gclid=1"))
        await lab.walked("/1")
        (lease,) = await lab.leases()
        gateway.service.send(signal.SIGKILL)
        await gateway.service.ended()
        with pytest.raises(aiohttp.ClientConnectionError):
            await clicking
    # Nobody gave the lease back: it ends by itself, the IP rests, and is free.
    await lab.until_available(2)
    (past,) = (await lab.pool.ListLeases(pool_pb2.ListLeasesRequest(country=lab.country, include_past=True))).leases
    assert past.lease_id == lease.lease_id
    listed = await lab.log.ListClicks(pb.ListClicksRequest(offer=offer))
    (click_id,) = [click.click_id for click in listed.clicks]
    click = await quick.recorded_when(click_id, lambda click: click.status == pb.ABANDONED, seconds=60)
    assert not click.HasField("end_time")
    # The log of the seed says it too, and the next click of this visitor is served.
    lab.gates["/1"].set()
    answer = await quick.click(f"offer={offer}&gclid=1")
    assert "clickid=1" in answer.location
    assert times.to_seconds((await quick.ended(answer.click_id)).visitor_wait) < 10
