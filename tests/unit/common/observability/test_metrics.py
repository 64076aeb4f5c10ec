"""Bounded families, and what leads from a metric to a trace."""

from collections.abc import Sequence

import pytest
from opentelemetry import trace
from prometheus_client import CollectorRegistry, Counter, Gauge

from libs.common.batching import Grouper
from libs.common.observability.metrics import Bounded, BoundedGauges, exemplar, page


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_a_family_takes_no_more_children_than_it_may(registry: CollectorRegistry) -> None:
    family = Bounded(Counter("things", "Things.", ["offer", "reason"], registry=registry), most=2)
    for number in range(50):
        family.of(f"offer-{number}", "X").inc()
    samples = {
        tuple(sample.labels.values()): sample.value for metric in registry.collect() for sample in metric.samples
    }
    assert samples == {("offer-0", "X"): 1, ("offer-1", "X"): 1, ("OTHER", "OTHER"): 48}


def test_known_children_are_still_counted_when_a_family_is_full(registry: CollectorRegistry) -> None:
    family = Bounded(Counter("things", "Things.", ["offer"], registry=registry), most=1)
    for name in ("a", "b", "a"):
        family.of(name).inc()
    assert registry.get_sample_value("things_total", {"offer": "a"}) == 2


def test_gauges_that_are_not_named_any_more_go(registry: CollectorRegistry) -> None:
    family = BoundedGauges(Gauge("ips", "IPs.", ["country"], registry=registry))
    family.replace([(["us"], 3), (["gb"], 1)])
    family.replace([(["us"], 2)])
    assert registry.get_sample_value("ips", {"country": "us"}) == 2
    assert registry.get_sample_value("ips", {"country": "gb"}) is None


def test_gauges_for_which_there_is_no_room_are_added_up(registry: CollectorRegistry) -> None:
    family = BoundedGauges(Gauge("ips", "IPs.", ["country"], registry=registry), most=2)
    family.replace([([country], 2) for country in ("us", "gb", "de", "fr")])
    assert registry.get_sample_value("ips", {"country": "OTHER"}) == 4
    # Who goes makes room.
    family.replace([([country], 3) for country in ("us", "fr")])
    assert registry.get_sample_value("ips", {"country": "fr"}) == 3
    assert registry.get_sample_value("ips", {"country": "gb"}) is None
    assert registry.get_sample_value("ips", {"country": "OTHER"}) is None


def test_only_a_recorded_trace_is_an_exemplar() -> None:
    for flags, expected in ((trace.TraceFlags(1), {"trace_id": "0" * 31 + "5"}), (trace.TraceFlags(0), None)):
        context = trace.SpanContext(5, 6, is_remote=False, trace_flags=flags)
        with trace.use_span(trace.NonRecordingSpan(context)):
            assert exemplar() == expected


async def test_a_queue_is_shown_while_it_works_and_no_longer() -> None:
    async def run(items: Sequence[int]) -> Sequence[int]:
        return items

    grouper = Grouper(run, max_group=8, name="shown.group")
    async with grouper:
        assert await grouper.submit(1) == 1
        text = page("")[0].decode()
        assert 'clicktrace_queue_depth{queue="shown.group"} 0.0' in text
        assert 'clicktrace_group_size_count{group="shown.group"} 1.0' in text
    assert 'clicktrace_queue_depth{queue="shown.group"}' not in page("")[0].decode()
