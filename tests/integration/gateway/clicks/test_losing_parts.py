"""Neighbours gone, slow or back again, and a stop in the middle: every visitor is answered, every IP is back."""

import asyncio
from contextlib import AsyncExitStack

import asyncpg

from clicktrace.gateway.v1 import gateway_pb2 as pb
from clicktrace.pool.v1 import pool_pb2
from libs.common.rpc import times
from local.postgres.server import EmbeddedPostgres
from services.gateway.clicks.record_writer import RecordWriter
from services.gateway.db.clicks import ClickTable
from tests.integration.gateway.world import CHAIN, hop, landed, lands_on, raw, says, unfinished, waits_for, world

LANDING = "http://shop.example/l?clickid=c1"


async def test_without_a_pool_visitors_fall_back_at_once(database: str) -> None:
    async with world(database, pool_target="dns:///127.0.0.1:1") as w:
        await w.offer()
        reply = await w.click("offer=demo&gclid=1")
        assert reply.location == f"{CHAIN}&gclid=1"
        assert reply.seconds < 2
        assert (await w.record(reply.click_id)).reason == "POOL_UNAVAILABLE"


async def test_without_a_tracer_no_ip_is_taken(database: str) -> None:
    async with world(database, tracer_target="dns:///127.0.0.1:1") as w:
        await w.offer()
        replies = [await w.click(f"offer=demo&gclid={n}") for n in range(4)]
        assert [reply.location for reply in replies] == [f"{CHAIN}&gclid={n}" for n in range(4)]
        assert {(await w.record(reply.click_id)).reason for reply in replies} == {"TRACER_UNAVAILABLE"}
        # The first may find out only by trying.
        assert len(w.pool.granted) <= 1


async def test_a_pool_that_does_not_answer_costs_a_visitor_no_more_than_max_wait(database: str) -> None:
    async with world(database) as w:
        await w.offer(max_wait=times.to_duration(0.4))
        stuck = asyncio.Event()

        async def wait() -> None:
            await stuck.wait()

        w.pool.before_answer = wait
        reply = await w.click("offer=demo")
        assert reply.location == CHAIN
        assert reply.seconds < 2
        # What it grants after all goes back: nobody waits for it any more.
        stuck.set()
        (release,) = await _released(w.pool.all_released, w.pool.granted)
        assert release.outcome == pool_pb2.CANCELLED


async def _released(all_released: object, granted: dict[str, pool_pb2.Lease]) -> list[pool_pb2.ReleaseRequest]:
    async with asyncio.timeout(5):
        while not granted:
            await asyncio.sleep(0.005)
    return await all_released()  # type: ignore[operator, no-any-return]


async def test_a_tracer_that_goes_away_in_the_middle_is_not_replaced_by_a_second_walk(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        w.tracer.script = waits_for(asyncio.Event(), says())
        clicking = asyncio.create_task(w.click("offer=demo"))
        async with asyncio.timeout(5):
            while not w.tracer.requests:
                await asyncio.sleep(0.005)
        (server,) = w.servers["tracer"]._servers
        await server.stop(None)
        reply = await clicking
        assert reply.location == CHAIN
        record = await w.record(reply.click_id)
        assert record.status == pb.FAILED
        assert len(record.attempts) == 1
        (release,) = await w.pool.all_released()
        assert release.outcome == pool_pb2.CANCELLED


async def test_at_a_stop_visitors_are_answered_and_leases_and_records_are_not_left_behind(database: str) -> None:
    stack = AsyncExitStack()
    w = await stack.enter_async_context(world(database))
    await w.offer("waits")
    await w.offer("late", max_wait=times.to_duration(0.5))
    go_on = asyncio.Event()
    w.tracer.script = waits_for(asyncio.Event(), says())
    late = await w.click("offer=late&gclid=1")
    w.tracer.script = waits_for(go_on, says(hop(1, LANDING), landed(LANDING)))
    waiting = asyncio.create_task(w.click("offer=waits&gclid=2"))
    async with asyncio.timeout(5):
        while len(w.tracer.requests) < 2:
            await asyncio.sleep(0.005)

    assert b"200 OK" in await _internal(w.ports.internal, "/readyz")
    w.stop.set()
    assert b"503" in await _internal(w.ports.internal, "/readyz")
    assert b"200 OK" in await _internal(w.ports.internal, "/healthz")
    closing = asyncio.create_task(stack.aclose())
    go_on.set()
    assert (await waiting).location == f"{LANDING}&gclid=2"
    await closing
    assert {release.outcome for releases in w.pool.released.values() for release in releases} == {
        pool_pb2.SUCCESS,
        pool_pb2.CANCELLED,
    }
    assert [len(releases) for releases in w.pool.released.values()] == [1, 1]
    connection = await asyncpg.connect(database)
    row = await connection.fetchrow(
        "SELECT status, reason, attempts FROM clicks.clicks WHERE click_id = $1", late.click_id
    )
    await connection.close()
    assert row is not None
    assert (row["status"], row["reason"]) == ("FAILED", "MAX_WAIT")
    assert "CANCELLED" in row["attempts"]


async def _internal(port: int, path: str) -> bytes:
    return await raw(port, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())


async def test_without_a_database_visitors_are_served_and_records_follow_when_it_is_back(
    postgres: EmbeddedPostgres, database: str
) -> None:
    name = database.rpartition("/")[2].partition("?")[0]
    admin = await asyncpg.connect(postgres.url())
    async with world(database) as w:
        await w.offer()
        await w.click("offer=demo&gclid=0")
        # The database refuses everybody, as one that fails over does.
        await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"
        await admin.execute(kill, name)
        replies = [await w.click(f"offer=demo&gclid={n}") for n in range(1, 6)]
        assert [reply.location for reply in replies] == [f"{LANDING}&gclid={n}" for n in range(1, 6)]
        assert (await w.click("offer=unknown")).status == 404
        await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        for reply in replies:
            record = await _eventually(lambda click_id=reply.click_id: w.record(click_id))
            assert (record.status, record.location) == (pb.COMPLETED, reply.location)
        await w.offer("after")
        assert (await w.click("offer=after")).status == 302
    await admin.close()


async def _eventually(read: object) -> pb.Click:
    async with asyncio.timeout(10):
        while True:
            try:
                return await read()  # type: ignore[operator, no-any-return]
            except Exception:  # noqa: BLE001 - whatever the server says until the record is there
                await asyncio.sleep(0.05)


async def test_a_journal_that_is_full_drops_the_oldest_and_counts_them(database: str) -> None:
    class Down:
        down = True
        written: list[str]

        async def write(self, records: object) -> None:
            if self.down:
                raise TimeoutError
            async with asyncpg.create_pool(database) as pool:
                await ClickTable(pool).write(records)  # type: ignore[arg-type]

    store = Down()
    async with RecordWriter(store, capacity=3) as journal:
        for number in range(10):
            await journal.durable(unfinished(f"{number:032x}", give_up_in=60), within=0.01)
        assert journal.depth <= 4
        store.down = False
    assert journal.dropped >= 6
    async with asyncpg.create_pool(database) as pool:
        kept = [row[0] for row in await pool.fetch("SELECT click_id FROM clicks.clicks ORDER BY 1")]
    assert len(kept) + journal.dropped == 10
    assert kept[-1] == f"{9:032x}"


async def test_a_record_that_the_database_refuses_does_not_hold_up_the_others(database: str) -> None:
    async with asyncpg.create_pool(database) as pool, RecordWriter(ClickTable(pool), capacity=100) as journal:
        journal.put(unfinished("a" * 32, give_up_in=60))
        bad = unfinished("b" * 32, give_up_in=60)._replace(inbound_query="a\0b")
        journal.put(bad)
        assert await journal.durable(unfinished("c" * 32, give_up_in=60), within=5)
        assert journal.dropped == 1
        assert await pool.fetchval("SELECT count(*) FROM clicks.clicks") == 2


async def test_every_visitor_is_answered_at_the_deadline_though_no_trace_ever_ends(database: str) -> None:
    async with world(database) as w:
        await w.offer(max_wait=times.to_duration(0.5))
        w.tracer.script = waits_for(asyncio.Event(), lands_on(LANDING))
        replies = await asyncio.gather(*(w.click(f"offer=demo&gclid={n}") for n in range(40)))
        # At the deadline nobody waits for the record for long.
        records = [await w.record_when(reply.click_id, lambda click: bool(click.answer)) for reply in replies]
        assert {record.reason for record in records} == {"MAX_WAIT"}
        # How soon after the deadline is what a bench measures.
        assert min(times.to_seconds(record.visitor_wait) for record in records) >= 0.5
