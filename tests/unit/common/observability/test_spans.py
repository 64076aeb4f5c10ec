"""What a group does belongs to the trace of the first of its callers that has one, and is linked to the others'."""

import asyncio
from collections.abc import Sequence

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from libs.common.batching import Grouper
from libs.common.observability import spans

Spans = tuple[trace.Tracer, InMemorySpanExporter]


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Spans:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(spans, "_tracer", provider.get_tracer("test"))
    return provider.get_tracer("test"), exporter


async def submit(tracer: trace.Tracer, callers: Sequence[bool]) -> list[trace.SpanContext]:
    """Submits one item per caller, in a span or without; returns the contexts of the callers that have one."""
    contexts: list[trace.SpanContext] = []

    async def run(items: Sequence[int]) -> Sequence[int | Exception]:
        with tracer.start_as_current_span("work"):
            return list(items)

    async def call(grouper: Grouper[int, int], traced: bool) -> None:
        if not traced:
            await grouper.submit(0)
            return
        with tracer.start_as_current_span("caller") as span:
            contexts.append(span.get_span_context())
            await grouper.submit(0)

    async with Grouper(run, max_group=8, name="the.group") as grouper:
        await asyncio.gather(*(call(grouper, traced) for traced in callers))
    return contexts


async def test_the_work_of_one_caller_is_a_child_of_its_span(recording: Spans) -> None:
    tracer, exporter = recording
    (caller,) = await submit(tracer, [False, True])
    (work,) = (span for span in exporter.get_finished_spans() if span.name == "work")
    assert work.parent is not None
    assert (work.parent.span_id, work.context.trace_id) == (caller.span_id, caller.trace_id)
    assert "the.group" not in {span.name for span in exporter.get_finished_spans()}


async def test_the_work_of_several_callers_has_a_span_that_leads_to_each(recording: Spans) -> None:
    tracer, exporter = recording
    first, *others = await submit(tracer, [True, True, True])
    (group,) = (span for span in exporter.get_finished_spans() if span.name == "the.group")
    assert group.parent is not None
    assert group.parent.span_id == first.span_id
    assert [link.context.span_id for link in group.links] == [other.span_id for other in others]
    assert group.attributes == {"clicktrace.group.size": 3}


async def test_each_caller_of_a_group_has_a_link_to_the_work(recording: Spans) -> None:
    tracer, exporter = recording
    _, *others = await submit(tracer, [True, True, True])
    (group,) = (span for span in exporter.get_finished_spans() if span.name == "the.group")
    linking = [span for span in exporter.get_finished_spans() if span.name == "caller" and span.links]
    assert {span.context.span_id for span in linking} == {other.span_id for other in others}
    assert {link.context.span_id for span in linking for link in span.links} == {group.context.span_id}


async def test_without_a_trace_there_is_none(recording: Spans) -> None:
    tracer, exporter = recording
    assert await submit(tracer, [False]) == []
    (work,) = exporter.get_finished_spans()
    assert work.parent is None


def test_a_child_is_recorded_inside_what_is_recorded(recording: Spans) -> None:
    tracer, exporter = recording
    with tracer.start_as_current_span("parent") as parent, spans.child("child"):
        pass
    child, _ = exporter.get_finished_spans()
    assert child.name == "child"
    assert child.parent == parent.get_span_context()


def test_a_child_of_what_is_not_recorded_is_not_recorded_either(recording: Spans) -> None:
    _, exporter = recording
    unsampled = trace.SpanContext(1, 2, is_remote=False, trace_flags=trace.TraceFlags(0))
    with trace.use_span(trace.NonRecordingSpan(unsampled)), spans.child("child"):
        assert trace.get_current_span().get_span_context() == unsampled
    with spans.child("child"):
        assert not trace.get_current_span().get_span_context().is_valid
    assert not exporter.get_finished_spans()
