"""ClickLog over gRPC: clicks are listed, filtered and watched; one whose gateway died is ABANDONED."""

import asyncio

import asyncpg
import pytest

from clicktrace.gateway.v1 import gateway_pb2 as pb
from libs.common.rpc import times
from services.gateway.db.clicks import ClickTable
from tests.integration.gateway.rpc.test_offer_admin import error_of
from tests.integration.gateway.world import broke, lands_on, says, unfinished, waits_for, world


async def test_clicks_are_listed_newest_first_in_pages_and_by_filter(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        await w.offer("other", mode=pb.REDIRECT_ONLY)
        ids = [(await w.click(f"offer=demo&gclid={number}")).click_id for number in range(3)]
        ids.append((await w.click("offer=other")).click_id)
        w.tracer.script = says(broke("RESET"))
        ids.append((await w.click("offer=demo&gclid=9")).click_id)

        async def listed(**wanted: object) -> list[str]:
            request = pb.ListClicksRequest(**wanted)  # type: ignore[arg-type]
            return [click.click_id for click in (await w.clicks.ListClicks(request)).clicks]

        assert await listed() == ids[::-1]
        assert await listed(offer="other") == [ids[3]]
        assert await listed(status=pb.COMPLETED) == ids[2::-1]
        assert await listed(reason="RESET") == [ids[4]]
        middle = (await w.record(ids[2])).start_time
        assert await listed(since=middle) == ids[:1:-1]
        assert await listed(until=middle) == ids[1::-1]
        page = await w.clicks.ListClicks(pb.ListClicksRequest(page_size=2))
        assert [click.click_id for click in page.clicks] == ids[:2:-1]
        assert not page.clicks[1].hops
        page = await w.clicks.ListClicks(pb.ListClicksRequest(page_size=3, page_token=page.next_page_token))
        assert [click.click_id for click in page.clicks] == ids[2::-1]
        assert page.next_page_token == ""


async def test_a_bad_list_request_is_refused_whole(database: str) -> None:
    async with world(database) as w:
        request = pb.ListClicksRequest(page_size=-1)
        assert [v.field for v in (await error_of(w.clicks.ListClicks(request))).violations] == ["page_size"]
        request = pb.ListClicksRequest(page_token="x'; --", offer="\0", reason="x" * 65)
        request.since.seconds = 10**15
        setattr(request, "status", 77)  # noqa: B010 - no constant of the type
        error = await error_of(w.clicks.ListClicks(request))
        assert {v.field for v in error.violations} == {"page_token", "offer", "reason", "since", "status"}
        assert "unknown value 77; use PENDING, TRACING, COMPLETED, " in error.message


@pytest.mark.parametrize("click_id", ["", "nope", "\0", "0" * 32, "x" * 1_000_000])
async def test_an_unknown_click_is_not_found(database: str, click_id: str) -> None:
    async with world(database) as w:
        assert (await error_of(w.clicks.GetClick(pb.GetClickRequest(click_id=click_id)))).reason == "UNKNOWN_CLICK"


async def test_a_watcher_sees_clicks_of_all_gateways_as_they_are_answered_and_end(database: str) -> None:
    async with world(database, gateways=2) as w:
        await w.offer(max_wait=times.to_duration(0.5))
        await w.offer("other")
        go_on = asyncio.Event()
        w.tracer.script = waits_for(go_on, lands_on("http://shop.example/"))
        watching = w.clicks.WatchClicks(pb.WatchClicksRequest(offer="demo"))
        await watching.wait_for_connection()
        reply = await w.click("offer=demo&gclid=1", at=w.others[0])

        async def next_of(click_id: str) -> pb.Click:
            async with asyncio.timeout(5):
                while True:
                    response = await watching.read()
                    assert isinstance(response, pb.WatchClicksResponse)
                    assert response.click.offer == "demo"
                    if response.click.click_id == click_id:
                        return response.click

        assert (await next_of(reply.click_id)).status == pb.TRACING
        go_on.set()
        assert (await next_of(reply.click_id)).status == pb.COMPLETED
        watching.cancel()


async def test_a_click_whose_gateway_died_shows_as_abandoned_and_the_next_one_is_served(database: str) -> None:
    dead, alive = "0" * 31 + "1", "0" * 31 + "2"
    async with asyncpg.create_pool(database) as pool:
        await ClickTable(pool).write([unfinished(dead, give_up_in=-1), unfinished(alive, give_up_in=60)])
    async with world(database) as w:
        assert (await w.record(dead)).status == pb.ABANDONED
        assert (await w.record(alive)).status == pb.PENDING
        listed = await w.clicks.ListClicks(pb.ListClicksRequest(status=pb.ABANDONED))
        assert [click.click_id for click in listed.clicks] == [dead]
