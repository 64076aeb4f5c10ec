"""The click log: listed, watched, read by the seed's own SQL, sparing with personal data, and not growing for ever."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from clicktrace.gateway.v1 import gateway_pb2 as pb
from libs.common.rpc import times
from services.gateway.clicks.retention import Maintenance
from services.gateway.db.clicks import ClickTable
from services.gateway.db.journeys import JourneyTable
from services.gateway.db.webhooks import WebhookTable
from services.gateway.model import ClickRecord, ClickStatus
from tests.integration.gateway.rpc.test_offer_admin import error_of
from tests.integration.gateway.world import broke, lands_on, says, waits_for, world

SEEDS_OWN = """
SELECT
  request_id,
  status,
  ip_assigned,
  trace_time_ms,
  completed_at
FROM active_trace_requests
ORDER BY started_at DESC
LIMIT 10;
"""


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
        fields = {v.field for v in (await error_of(w.clicks.ListClicks(request))).violations}
        assert fields == {"page_token", "offer", "reason", "since"}


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


async def test_the_seeds_own_sql_reads_the_log(database: str) -> None:
    async with world(database) as w:
        await w.offer(max_wait=times.to_duration(0.5))
        await w.offer("off", mode=pb.REDIRECT_ONLY)
        done = await w.click("offer=demo&gclid=1")
        await w.click("offer=demo&gclid=1")
        await w.click("offer=off")
        w.tracer.script = says(broke("RESET"))
        failed = await w.click("offer=demo&gclid=2")
        w.tracer.script = waits_for(asyncio.Event(), says())
        running = await w.click("offer=demo&gclid=3")
        connection = await asyncpg.connect(database)
        rows = {row["request_id"]: row for row in await connection.fetch(SEEDS_OWN)}
        assert {click_id: row["status"] for click_id, row in rows.items()} == {
            done.click_id: "completed",
            failed.click_id: "failed",
            running.click_id: "processing",
        }
        assert rows[done.click_id]["ip_assigned"] == "10.0.0.1"
        assert rows[done.click_id]["trace_time_ms"] >= 0
        assert rows[done.click_id]["completed_at"] is not None
        average = "SELECT AVG(trace_time_ms) FROM active_trace_requests WHERE status = 'completed'"
        assert await connection.fetchval(average) >= 0
        error = "SELECT error_message FROM active_trace_requests WHERE request_id = $1"
        assert await connection.fetchval(error, failed.click_id) == "RESET"
        assert await connection.fetchval(error, done.click_id) is None
        await connection.close()


def unfinished(click_id: str, *, give_up_in: float) -> ClickRecord:
    now = datetime.now(UTC)
    return ClickRecord(
        click_id=click_id,
        version=1,
        offer="demo",
        status=ClickStatus.PENDING,
        start_time=now,
        give_up_time=now + timedelta(seconds=give_up_in),
        inbound_query="offer=demo",
    )


async def test_a_click_whose_gateway_died_shows_as_abandoned_and_the_next_one_is_served(database: str) -> None:
    dead, alive = "0" * 31 + "1", "0" * 31 + "2"
    async with asyncpg.create_pool(database) as pool:
        await ClickTable(pool).write([unfinished(dead, give_up_in=-1), unfinished(alive, give_up_in=60)])
    async with world(database) as w:
        assert (await w.record(dead)).status == pb.ABANDONED
        assert (await w.record(alive)).status == pb.PENDING
        listed = await w.clicks.ListClicks(pb.ListClicksRequest(status=pb.ABANDONED))
        assert [click.click_id for click in listed.clicks] == [dead]


async def test_an_older_version_of_a_record_never_replaces_a_newer_one(database: str) -> None:
    async with asyncpg.create_pool(database) as pool:
        table = ClickTable(pool)
        record = unfinished("0" * 32, give_up_in=60)
        await table.write([record._replace(version=3, status=ClickStatus.FAILED, reason="NEWER")])
        await table.write([record])
        stored = await table.get(record.click_id)
        assert stored is not None
        assert (stored.version, stored.reason) == (3, "NEWER")


@pytest.mark.parametrize(
    ("policy", "address", "agent"),
    [("truncated", "127.0.0.0", "Mozilla/5.0"), ("none", "", ""), ("hashed", None, None)],
)
async def test_personal_data_is_kept_only_as_the_setting_says(
    database: str, policy: str, address: str | None, agent: str | None
) -> None:
    async with world(database, personal_data=policy) as w:
        await w.offer()
        await w.click("offer=demo&gclid=1", "User-Agent: Mozilla/5.0 (X11; marker) Gecko")
        connection = await asyncpg.connect(database)
        row = await connection.fetchrow("SELECT visitor_address, user_agent FROM clicks.clicks")
        assert row is not None
        dump = str(await connection.fetch("SELECT * FROM clicks.clicks"))
        await connection.close()
        assert "marker" not in dump
        assert "127.0.0.1" not in dump
        if address is None:
            assert len(row["visitor_address"]) == len(row["user_agent"]) == 32
        else:
            assert (row["visitor_address"], row["user_agent"]) == (address, agent)


async def test_maintenance_deletes_what_is_too_old_and_nothing_else(database: str) -> None:
    async with asyncpg.create_pool(database) as pool, JourneyTable(pool) as journeys:
        clicks, webhooks = ClickTable(pool), WebhookTable(pool)
        await clicks.write([unfinished(f"{number:032x}", give_up_in=1) for number in range(4)])
        await pool.execute(
            "UPDATE clicks.clicks SET start_time = now() - interval '2 days' WHERE click_id < $1", f"{2:032x}"
        )
        await journeys.claim("old", "c", -1)
        await journeys.claim("new", "c", 60)
        await pool.execute(
            "INSERT INTO clicks.webhooks (click_id, offer, url, dead, create_time) VALUES"
            " ('a', '', '', true, now() - interval '2 days'), ('b', '', '', false, now() - interval '2 days'),"
            " ('c', '', '', true, now())"
        )
        await Maintenance(clicks, journeys, webhooks, retention=86_400).once()
        assert await pool.fetchval("SELECT count(*) FROM clicks.clicks") == 2
        assert [row[0] for row in await pool.fetch("SELECT identity FROM clicks.journeys")] == ["new"]
        assert [row[0] for row in await pool.fetch("SELECT click_id FROM clicks.webhooks ORDER BY 1")] == ["b", "c"]
