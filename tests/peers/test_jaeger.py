"""One click is one trace in a real Jaeger, whatever becomes of it: its services, its tree, its times, its links."""

import asyncio
import itertools
import shutil
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from clicktrace.gateway.v1 import gateway_pb2 as pb
from tests.support.jaeger import Jaeger, Span, Trace, running
from tests.support.system import WITHOUT_SHARES, Answer, System, state_directory

LEASE = "clicktrace.pool.v1.PoolManager/BatchLease"
RELEASE = "clicktrace.pool.v1.PoolManager/BatchRelease"
TRACE = "clicktrace.tracer.v1.Tracer/Trace"
MARKER = "marker-of-this-click"
# Clocks are read at slightly different moments, and hops are recorded after the fact.
SLACK = 2_000

# Every path that a click has which is traced, whatever its end: name by name below the root.
PATHS = (
    ("click.trace", "lease", LEASE, LEASE, "lease"),
    ("click.trace", TRACE, TRACE),
    ("click.trace", "release", RELEASE, RELEASE, "release"),
)


@pytest.fixture(scope="module")
def jaeger() -> Iterator[Jaeger]:
    """Runs Jaeger; without one the tests say what is missing."""
    program = shutil.which("all-in-one")
    if program is None:
        pytest.skip("Jaeger is missing: go install github.com/jaegertracing/jaeger/cmd/all-in-one@v1.48.0")
    with running(program) as jaeger:
        yield jaeger


@pytest.fixture(scope="module")
def system(jaeger: Jaeger) -> Iterator[System]:
    """Runs the system, which reports to Jaeger."""
    # No IP comes back while a visitor waits, and whoever is to land may wait for it.
    options = ("--cooldown", "60s", "--max-wait", "1s", "--slow-hop", "0.5s")
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": jaeger.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100", **WITHOUT_SHARES}
    with state_directory() as state, System(state, options, environment) as system:
        system.give_visitors_of("demo", seconds=30)
        yield system


def has(**wanted: int) -> Callable[[Trace], bool]:
    """Says whether so many spans of each name have come."""

    def complete(trace: Trace) -> bool:
        names = Counter(span.name for span in trace.spans)
        return all(names[name] >= count for name, count in wanted.items())

    return complete


async def traced(system: System, jaeger: Jaeger, query: str, **wanted: int) -> tuple[Answer, pb.Click, Trace]:
    """Clicks, and returns the answer, the record, and the trace once it has all the spans that are wanted."""
    answer = await system.click(f"{query}&sub={MARKER}", headers={"User-Agent": f"Mozilla/{MARKER}"})
    click = await system.ended(answer.click_id)
    trace = await jaeger.trace(click.otel_trace_id, has(**wanted))
    assert MARKER not in repr(trace)
    assert trace.root.name == "GET /track-hit"
    assert trace.root.tags["clicktrace.click_id"] == answer.click_id
    return answer, click, trace


def hops_of(trace: Trace) -> list[Span]:
    """Returns the hops, which must be those of the tracer's span, in order, one after the other."""
    walk = trace.one("click.trace", TRACE, TRACE)
    hops = [span for span in trace.spans if span.service == "tracer" and span.name == "GET"]
    hops.sort(key=lambda span: span.start)
    assert {hop.parent_id for hop in hops} == {walk.span_id}
    assert [hop.tags["clicktrace.hop.index"] for hop in hops] == list(range(len(hops)))
    for hop, following in itertools.pairwise(hops):
        assert hop.end <= following.start + SLACK
    assert sum(hop.duration for hop in hops) <= walk.duration + SLACK
    return hops


def assert_nested(trace: Trace) -> None:
    """Proves that what one waits for lies within the time of who waits, and that one thing comes after the other."""
    work, lease, walk = (trace.one("click.trace", *path) for path in ((), ("lease",), (TRACE,)))
    assert lease.end <= walk.start + SLACK
    assert lease.duration + walk.duration <= work.duration + SLACK
    for path in PATHS:
        # Below the trace of the click every span waits for the one below it.
        for depth in range(2, len(path)):
            parent, child = trace.one(*path[:depth]), trace.one(*path[: depth + 1])
            assert parent.start <= child.start + SLACK
            assert child.end <= parent.end + SLACK


async def test_a_click_is_one_trace_through_all_three_services(system: System, jaeger: Jaeger) -> None:
    await system.rested()
    _, click, trace = await traced(system, jaeger, "offer=demo&gclid=normal", record=2, release=2, clicks_write=2)
    assert {span.service for span in trace.spans} == {"gateway", "pool_manager", "tracer"}
    assert [trace.one(*path).service for path in PATHS] == ["pool_manager", "tracer", "pool_manager"]
    assert_nested(trace)
    assert len(hops_of(trace)) == len(click.hops) == 6
    records = trace.below(trace.root, "record")
    assert [len(trace.below(record, "clicks_write")) for record in records] == [1, 1]
    assert [span.name for span in trace.spans if span.failed] == []
    assert trace.root.tags["http.response.status_code"] == 302
    assert not trace.one("click.trace").links
    sql = [span for span in trace.spans if "db.system.name" in span.tags]
    assert {span.tags["db.system.name"] for span in sql} == {"postgresql"}
    assert {"lease", "release", "clicks_write"} <= {span.name for span in sql}


async def test_a_fallback_ends_the_visitors_span_and_not_the_trace(system: System, jaeger: Jaeger) -> None:
    await system.rested()
    _, click, trace = await traced(system, jaeger, "offer=demo-slow&gclid=slow", record=3, release=2, clicks_write=3)
    assert (click.answer, click.reason) == (pb.FALLBACK, "MAX_WAIT")
    root, work = trace.root, trace.one("click.trace")
    assert root.duration >= 1_000_000 - SLACK
    assert work.end > root.end
    assert work.links == [(click.otel_trace_id, root.span_id)]
    assert root.tags["clicktrace.reason"] == "MAX_WAIT"
    assert_nested(trace)
    hops = hops_of(trace)
    # Three slow hops are most of it.
    assert sum(hop.duration for hop in hops) >= 0.5 * trace.one("click.trace", TRACE).duration
    late = trace.one("click.trace", "record")
    assert late.start >= hops[-1].end - SLACK
    assert [span.name for span in trace.spans if span.failed] == []


async def test_a_broken_chain_is_an_error_where_it_broke_and_nowhere_else(system: System, jaeger: Jaeger) -> None:
    await system.rested()
    _, click, trace = await traced(
        system, jaeger, "offer=demo-broken&gclid=broken", record=2, release=2, clicks_write=2
    )
    assert_nested(trace)
    hops = hops_of(trace)
    assert [hop.failed for hop in hops] == [False] * (len(hops) - 1) + [True]
    assert hops[-1].tags["error.type"] == click.hops[-1].error
    # The calls themselves went well, and so did the answer to the visitor.
    assert {span.span_id for span in trace.spans if span.failed} == {hops[-1].span_id, trace.one("click.trace").span_id}
    assert trace.one("click.trace").tags["error.type"] == click.reason
    # The origin closes behind a tunnel that stands: a proxy whose exit died looks the same from here.
    assert trace.one("click.trace", TRACE, TRACE).tags["clicktrace.failure.blame"] == "UNCLEAR"


async def test_a_click_without_an_ip_says_so_in_its_lease(system: System, jaeger: Jaeger) -> None:
    total = await system.rested()
    held = await asyncio.gather(*(system.click(f"offer=demo&gclid=held-{n}") for n in range(total)))
    _, click, trace = await traced(system, jaeger, "offer=demo-slow&gclid=none-left", record=2, lease=1)
    assert len(held) == total
    assert click.reason == "NO_AVAILABLE_IP"
    lease = trace.one("click.trace", "lease")
    assert (lease.failed, lease.tags["error.type"]) == (True, "NO_AVAILABLE_IP")
    assert not trace.named(TRACE)


async def test_a_joined_click_links_to_the_trace_it_joined(system: System, jaeger: Jaeger) -> None:
    await system.rested()
    _, leader, first = await traced(system, jaeger, "offer=demo&gclid=twice", record=2)
    _, joined, second = await traced(system, jaeger, "offer=demo&gclid=twice", record=2)
    assert joined.joined_click_id == leader.click_id
    assert joined.otel_trace_id != leader.otel_trace_id
    assert second.one("click.trace").links == [(leader.otel_trace_id, first.root.span_id)]
    assert not second.named("lease")
    assert not second.named(TRACE)


async def test_clicks_that_share_a_call_have_a_trace_each(system: System, jaeger: Jaeger) -> None:
    total = await system.rested()
    answers = await asyncio.gather(*(system.click(f"offer=demo&gclid=shared-{n}") for n in range(total)))
    for answer in answers:
        click = await system.ended(answer.click_id)
        trace = await jaeger.trace(click.otel_trace_id, has(record=2, release=1))
        assert len(hops_of(trace)) == 6
        lease = trace.one("click.trace", "lease")
        # The call is in this trace, or the group that made it is linked to.
        assert trace.below(lease, LEASE) or trace.below(lease, "lease.group") or lease.links
