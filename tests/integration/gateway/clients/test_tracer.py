"""What a tracer tells of a hop stands in the log as it was told, whatever a chain has put into it."""

from clicktrace.common.v1 import common_pb2
from clicktrace.tracer.v1 import tracer_pb2
from tests.integration.gateway.world import World, broke, landed, says, world
from tests.support.messages import filled

LANDING = "http://shop.example/"


async def logged(w: World, hop: common_pb2.Hop) -> common_pb2.Hop:
    """Walks a chain of one hop, and returns the hop as GetClick tells it."""
    w.tracer.script = says(tracer_pb2.TraceEvent(hop=hop), landed(LANDING))
    click_id = (await w.click("offer=demo")).click_id
    (kept,) = (await w.record(click_id)).hops
    return kept


async def test_no_field_of_a_hop_is_lost_between_the_tracer_and_the_log(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        told = filled(common_pb2.Hop.DESCRIPTOR)
        assert await logged(w, told) == told
        assert await logged(w, common_pb2.Hop(url=LANDING)) == common_pb2.Hop(
            url=LANDING, attempt=1, timing=common_pb2.Timing()
        )


async def test_text_that_a_database_refuses_costs_no_click_its_record(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        kept = await logged(w, common_pb2.Hop(url=LANDING, snippet="a\0b", set_cookie_names=["c\0d"]))
        assert (kept.snippet, list(kept.set_cookie_names)) == ("a\ufffdb", ["c\ufffdd"])


async def test_a_response_with_very_many_cookies_makes_no_large_record(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        names = [f"{number:0500}" for number in range(500)]
        kept = await logged(w, common_pb2.Hop(url=LANDING, set_cookie_names=names))
        assert list(kept.set_cookie_names) == [name[:100] for name in names[:50]]


async def test_whether_a_walk_ended_well_says_its_failure_and_not_its_stop_reason(database: str) -> None:
    async with world(database) as w:
        await w.offer()
        unnamed = tracer_pb2.TraceEvent(result=tracer_pb2.Result(final_url=LANDING))
        failed = broke("", stop=tracer_pb2.Result.LANDING)
        for event, location in ((unnamed, f"{LANDING}?gclid=1"), (failed, "http://track.example/c?aff=7&gclid=2")):
            w.tracer.script = says(event)
            assert (await w.click(f"offer=demo&{location.rpartition('&')[2].rpartition('?')[2]}")).location == location
