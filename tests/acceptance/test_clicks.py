"""Real clicks through the whole system: three services, a real PostgreSQL, real proxies, a real chain."""

import asyncio
import json
from collections.abc import Sequence

import pytest

from clicktrace.common.v1 import common_pb2
from clicktrace.gateway.v1 import gateway_pb2 as pb
from tests.acceptance.conftest import MAX_WAIT
from tests.support.otlp import OtlpSink, ReceivedSpan
from tests.support.system import System

# One system for all of them: they share its processes, and each waits for the pool it needs.
CLIENT = 3
pytestmark = pytest.mark.xdist_group("system")


async def test_a_click_ends_on_the_landing_page_with_merged_parameters(system: System) -> None:
    await system.rested()
    answer = await system.click("offer=demo&gclid=abc123&sub=a%20b+c&sub=&flag")
    assert answer.status == 302
    assert answer.location.count("?") == 1
    assert answer.params["gclid"] == "abc123"
    assert answer.params["clickid"]
    assert "sub=a%20b+c&sub=&flag" in answer.location
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"]

    click = await system.ended(answer.click_id)
    assert (click.status, click.answer, click.reason) == (pb.COMPLETED, pb.LANDING, "")
    assert click.location == answer.location
    kinds = [hop.kind for hop in click.hops]
    assert {common_pb2.Hop.LOCATION, common_pb2.Hop.REFRESH_HEADER, common_pb2.Hop.META_REFRESH} <= set(kinds)
    assert kinds[-1] == common_pb2.Hop.KIND_UNSPECIFIED
    assert [hop.index for hop in click.hops] == list(range(len(click.hops)))
    assert all(hop.timing.total.ToNanoseconds() > 0 for hop in click.hops)
    assert {(hop.http_version, hop.tls_version) for hop in click.hops} == {("1.1", "")}
    assert all(hop.bytes > 0 and hop.remote_address.startswith("127.") for hop in click.hops)
    assert [param.name for param in click.params if param.origin == pb.ParameterSource.TRACED].count("clickid") == 1
    assert click.attempts[0].outcome == "SUCCESS"
    assert click.attempts[0].ip_address == answer.params["exit_ip"]


async def test_the_path_of_the_seed_is_an_alias(system: System) -> None:
    await system.rested()
    answer = await system.click("offer=demo&gclid=alias", path="/functions/v1/track-hit")
    assert (answer.status, answer.params["gclid"]) == (302, "alias")


async def test_ten_clicks_at_once_leave_from_ten_ips_and_an_eleventh_falls_back_at_once(system: System) -> None:
    total = await system.rested()
    answers = await asyncio.gather(*(system.click(f"offer=demo&gclid=at-once-{n}") for n in range(total)))
    assert [answer.status for answer in answers] == [302] * total
    assert len({answer.params["exit_ip"] for answer in answers}) == total == 10
    assert len({answer.params["clickid"] for answer in answers}) == total

    late = await system.click("offer=demo&gclid=eleventh")
    assert late.status == 302
    assert late.params["gclid"] == "eleventh"
    assert "clickid" not in late.params
    click = await system.recorded(late.click_id)
    assert (click.answer, click.reason, len(click.attempts)) == (pb.FALLBACK, "NO_AVAILABLE_IP", 0)
    assert click.visitor_wait.ToSeconds() == 0
    line = await asyncio.to_thread(system.wait_for, f"{late.click_id[-6:]} demo → FALLBACK")
    assert "NO_AVAILABLE_IP" in line


async def test_a_slow_chain_falls_back_at_the_deadline_and_is_on_record_when_it_ends(system: System) -> None:
    await system.rested()
    answer = await system.click("offer=demo-slow&gclid=slow")
    assert answer.status == 302
    assert answer.seconds >= MAX_WAIT
    assert answer.params["gclid"] == "slow"
    assert "clickid" not in answer.params
    # At the deadline nobody waits for the record for long.
    click = await system.recorded_when(answer.click_id, lambda click: bool(click.answer))
    assert (click.status, click.answer, click.reason) == (pb.TRACING, pb.FALLBACK, "MAX_WAIT")

    click = await system.ended(answer.click_id)
    assert (click.status, click.answer, click.reason) == (pb.COMPLETED, pb.FALLBACK, "MAX_WAIT")
    assert "clickid=" in click.final_url
    assert sum(hop.timing.total.ToMilliseconds() for hop in click.hops) > 12_000
    assert click.location == answer.location
    assert [attempt.outcome for attempt in click.attempts] == ["SUCCESS"]


async def test_a_broken_chain_falls_back_and_keeps_every_hop(system: System) -> None:
    await system.rested()
    answer = await system.click("offer=demo-broken&gclid=broken")
    assert answer.status == 302
    assert answer.params["gclid"] == "broken"
    click = await system.ended(answer.click_id)
    assert (click.status, click.answer) == (pb.FAILED, pb.FALLBACK)
    assert click.reason
    assert len(click.hops) >= 2
    assert [hop.error != "" for hop in click.hops] == [False] * (len(click.hops) - 1) + [True]
    # The proxy says that it cannot reach the target, which a dead exit would say too.
    assert [attempt.outcome for attempt in click.attempts] == ["UNCLEAR_FAILURE"]


@pytest.mark.parametrize(
    ("query", "status"), [("gclid=1", 400), ("offer=&gclid=1", 400), ("offer=nobody", 404), ("offer=%00", 400)]
)
async def test_a_click_without_a_known_offer_takes_no_ip(system: System, query: str, status: int) -> None:
    answer = await system.click(query)
    assert answer.status == status
    assert "Location" not in answer.headers


async def test_one_trace_runs_through_all_three_services(system: System, sink: OtlpSink) -> None:
    await system.rested()
    answer = await system.click("offer=demo&gclid=marker-of-this-click")
    click = await system.ended(answer.click_id)
    assert len(click.otel_trace_id) == 32

    def mine(spans: Sequence[ReceivedSpan]) -> list[ReceivedSpan]:
        return [span for span in spans if span.trace_id == click.otel_trace_id]

    def hops_of(spans: Sequence[ReceivedSpan]) -> Sequence[ReceivedSpan]:
        return [span for span in spans if span.service == "tracer" and span.kind == CLIENT]

    async with asyncio.timeout(20):
        while len(hops_of(mine(sink.spans))) < len(click.hops):
            await asyncio.sleep(0.05)
        while not {"gateway", "pool_manager", "tracer"} <= {span.service for span in mine(sink.spans)}:
            await asyncio.sleep(0.05)
        # A span comes when it ends, so parents come after their children.
        while not {span.parent_id for span in mine(sink.spans)} <= {span.span_id for span in mine(sink.spans)} | {""}:
            await asyncio.sleep(0.05)
    spans = mine(sink.spans)
    by_id = {span.span_id: span for span in spans}
    roots = [span for span in spans if span.parent_id not in by_id]
    assert [span.attributes.get("http.route") for span in roots] == ["/track-hit"]
    assert any("db.system.name" in span.attributes for span in spans if span.service == "pool_manager")
    assert all(by_id[hop.parent_id].service == "tracer" for hop in hops_of(spans))
    assert "marker-of-this-click" not in repr(spans)


async def test_a_click_is_followed_by_its_id_through_the_logs_of_all_services(system: System) -> None:
    await system.rested()
    answer = await system.click("offer=demo&gclid=followed&sub=marker-in-no-log")
    click = await system.ended(answer.click_id)
    events = {
        "gateway": ["click.hop"] * len(click.hops) + ["click.answered"],
        "pool_manager": ["lease.granted", "lease.released"],
        "tracer": ["trace.ended"],
    }
    async with asyncio.timeout(20):
        while {service: events_of(system, service, answer.click_id) for service in events} != events:
            await asyncio.sleep(0.05)
    logs = "".join(path.read_text() for path in (system.state / "logs").iterdir())
    assert "marker-in-no-log" not in logs


def events_of(system: System, service: str, click_id: str) -> list[str]:
    """Returns the events that a service has logged of a click, each in the trace of the click."""
    path = system.state / "logs" / f"{service}.log"
    entries = [json.loads(line) for line in path.read_text().splitlines() if click_id in line]
    assert all(entry["click_id"] == click_id and entry["service"] == service for entry in entries)
    assert len({entry["trace_id"] for entry in entries}) <= 1
    return [entry["event"] for entry in entries]
