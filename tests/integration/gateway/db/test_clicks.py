"""The click log in the database: the newest version of a record wins, and the seed's own SQL reads it."""

import asyncio

import asyncpg

from clicktrace.gateway.v1 import gateway_pb2 as pb
from libs.common.rpc import times
from services.gateway.db.clicks import ClickTable
from services.gateway.model import ClickStatus
from tests.integration.gateway.world import broke, says, unfinished, waits_for, world

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


async def test_an_older_version_of_a_record_never_replaces_a_newer_one(database: str) -> None:
    async with asyncpg.create_pool(database) as pool:
        table = ClickTable(pool)
        record = unfinished("0" * 32, give_up_in=60)
        await table.write([record._replace(version=3, status=ClickStatus.FAILED, reason="NEWER")])
        await table.write([record])
        stored = await table.get(record.click_id)
        assert stored is not None
        assert (stored.version, stored.reason) == (3, "NEWER")


async def test_a_record_of_a_newer_build_is_read_as_far_as_this_one_knows_it(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        newer, plain = [(await w.click(f"offer=demo&gclid={number}")).click_id for number in (1, 2)]
        await w.record_when(newer, lambda click: click.status == pb.COMPLETED)
        connection = await asyncpg.connect(database)
        await connection.execute(
            """
            UPDATE clicks.clicks SET
                answer = 'HOLOGRAM',
                hops = (SELECT jsonb_agg(hop || '{"quic": true}') FROM jsonb_array_elements(hops) AS hop),
                attempts = (
                    SELECT jsonb_agg(attempt || '{"exit": "x", "outcome": "REGRET"}')
                    FROM jsonb_array_elements(attempts) AS attempt
                ),
                params = (
                    SELECT jsonb_agg(param || '{"origin": "ORACLE", "why": 1}')
                    FROM jsonb_array_elements(params) AS param
                )
            WHERE click_id = $1
            """,
            newer,
        )
        await connection.close()
        listed = (await w.clicks.ListClicks(pb.ListClicksRequest())).clicks
        assert [click.click_id for click in listed] == [plain, newer]
        click = await w.record(newer)
        assert (click.status, click.answer) == (pb.COMPLETED, pb.ANSWER_UNSPECIFIED)
        assert [attempt.outcome for attempt in click.attempts] == ["REGRET"]
        assert len(click.hops) == 2
        assert {param.origin for param in click.params} == {pb.ParameterSource.ORIGIN_UNSPECIFIED}
