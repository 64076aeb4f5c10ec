"""The same click again joins the trace that runs or gets what it has found, through whichever gateway it comes."""

import asyncio

import asyncpg

from clicktrace.gateway.v1 import gateway_pb2 as pb
from clicktrace.tracer.v1 import tracer_pb2
from libs.common.rpc import times
from tests.integration.gateway.world import CHAIN, World, broke, hop, landed, lands_on, says, waits_for, world

LANDING = "http://shop.example/l?clickid=c1"


async def traced(w: World, count: int = 1) -> None:
    """Waits until the tracer was asked so often."""
    async with asyncio.timeout(5):
        while len(w.tracer.requests) < count:
            await asyncio.sleep(0.005)


async def test_fifty_of_the_same_at_once_on_two_gateways_cost_one_lease_and_get_one_answer(database: str) -> None:
    async with world(database, gateways=2) as w:
        await w.offer()
        go_on = asyncio.Event()
        w.tracer.script = waits_for(go_on, says(hop(1, LANDING), landed(LANDING)))
        ports = [w.ports, *w.others]
        clicking = [asyncio.create_task(w.click("offer=demo&gclid=same", at=ports[n % 2])) for n in range(50)]
        await traced(w)
        go_on.set()
        replies = await asyncio.gather(*clicking)
        assert {reply.location for reply in replies} == {f"{LANDING}&gclid=same"}
        assert len(w.pool.granted) == 1
        assert len(w.tracer.requests) == 1
        records = [await w.record(reply.click_id) for reply in replies]
        (leader,) = [record for record in records if not record.joined_click_id]
        assert {record.joined_click_id for record in records} == {"", leader.click_id}
        assert {record.status for record in records} == {pb.COMPLETED}
        assert [(p.name, p.origin, p.hop_index) for p in records[-1].params] == [
            ("clickid", pb.ParameterSource.TRACED, 1),
            ("gclid", pb.ParameterSource.INBOUND, -1),
        ]


async def test_what_a_click_brings_beside_its_identity_stays_its_own(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        assert (await w.click("offer=demo&gclid=same&pos=1")).location.endswith("clickid=c1&gclid=same&pos=1")
        assert (await w.click("offer=demo&pos=2&gclid=same")).location.endswith("clickid=c1&pos=2&gclid=same")
        assert len(w.tracer.requests) == 1


async def test_a_result_serves_the_same_click_at_another_gateway_within_the_window(database: str) -> None:
    async with world(database, gateways=2) as w:
        await w.offer()
        first = await w.click("offer=demo&gclid=same")
        again = await w.click("offer=demo&gclid=same", at=w.others[0])
        assert again.location == first.location
        assert (await w.record(again.click_id)).joined_click_id == first.click_id
        assert len(w.pool.granted) == 1


async def test_a_result_that_came_too_late_for_one_click_serves_the_next(database: str) -> None:
    async with world(database) as w:
        await w.offer(max_wait=times.to_duration(0.5))
        go_on = asyncio.Event()
        w.tracer.script = waits_for(go_on, lands_on(LANDING))
        first = await w.click("offer=demo&gclid=same")
        assert first.location == f"{CHAIN}&gclid=same"
        go_on.set()
        await w.record_when(first.click_id, lambda click: click.status == pb.COMPLETED)
        patient = pb.Offer(name="demo", max_wait=times.to_duration(20))
        await w.offers.UpdateOffer(pb.UpdateOfferRequest(offer=patient))
        assert (await w.click("offer=demo&gclid=same")).location == f"{LANDING}&gclid=same"
        assert len(w.tracer.requests) == 1


async def test_clicks_that_differ_do_not_join(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        await w.offer("other")
        await w.click("offer=demo&gclid=a")
        await w.click("offer=demo&gclid=b")
        await w.click("offer=demo&gclid=a", "User-Agent: another")
        await w.click("offer=other&gclid=a")
        await w.click("offer=demo&utm=x")
        await w.click("offer=demo&utm=x")
        assert len(w.tracer.requests) == 6


async def test_an_offer_may_join_nothing(database: str) -> None:
    async with world(database) as w:
        await w.offer(join_window=times.to_duration(0))
        await w.click("offer=demo&gclid=a")
        await w.click("offer=demo&gclid=a")
        assert len(w.tracer.requests) == 2


async def test_a_failure_before_any_origin_was_reached_is_not_kept(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        put_back, w.pool.free = w.pool.free, []
        refused = await w.click("offer=demo&gclid=a")
        assert (await w.record(refused.click_id)).reason == "NO_AVAILABLE_IP"
        w.pool.free = put_back
        async with asyncio.timeout(5):
            # The visitor has the answer a moment before the next click may lead.
            while not (await w.click("offer=demo&gclid=a")).location.startswith("http://shop.example/"):
                await asyncio.sleep(0.005)


async def test_a_chain_that_broke_is_not_walked_again_by_a_reload(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        w.tracer.script = says(hop(0, CHAIN, error="RESET"), broke("RESET"))
        first = await w.click("offer=demo&gclid=a")
        again = await w.click("offer=demo&gclid=a")
        assert again.location == first.location
        assert (await w.record(again.click_id)).reason == "RESET"
        assert len(w.tracer.requests) == 1


async def test_all_that_joined_fall_back_when_the_trace_breaks(database: str) -> None:
    async with world(database, gateways=2) as w:
        await w.offer()
        go_on = asyncio.Event()
        w.tracer.script = waits_for(go_on, says(broke("TLS_BROKEN", stop=tracer_pb2.Result.TLS_ERROR)))
        ports = [w.ports, *w.others]
        clicking = [asyncio.create_task(w.click("offer=demo&gclid=same", at=ports[n % 2])) for n in range(6)]
        await traced(w)
        go_on.set()
        for reply in await asyncio.gather(*clicking):
            assert reply.location == f"{CHAIN}&gclid=same"
            assert (await w.record(reply.click_id)).reason == "TLS_BROKEN"


async def test_a_click_can_lead_again_when_the_time_of_the_one_before_has_passed(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        await w.click("offer=demo&gclid=a")
        connection = await asyncpg.connect(database)
        # The lead becomes a result that is kept for the window, an hour, behind the back of the visitor.
        async with asyncio.timeout(10):
            while not await connection.fetchval(
                "SELECT expire_time > now() + interval '30 minutes' FROM clicks.journeys"
            ):
                await asyncio.sleep(0.01)
        await connection.execute("UPDATE clicks.journeys SET expire_time = now() - interval '1 second'")
        await connection.close()
        await w.click("offer=demo&gclid=a")
        assert len(w.tracer.requests) == 2
