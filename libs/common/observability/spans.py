"""Spans that belong to more than the call at hand: roots that others can link to, and work for many callers at once."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode

_tracer = trace.get_tracer(__name__)

root_to_be: ContextVar[SpanContext | None] = ContextVar("root_to_be", default=None)
"""Identity of the root span that is being started; the id generator of `telemetry` reads it."""


def context_of(identity: str) -> SpanContext:
    """Returns the context of the root span that `root` begins for this identity, here or in another process.

    Derived, not stored: whoever knows a click can link to its trace. A hash, because the sampler decides by the digits
    of the trace id, and those of an identity need not be evenly spread.
    """
    digest = hashlib.blake2b(identity.encode(), digest_size=24).digest()
    return SpanContext(
        trace_id=int.from_bytes(digest[:16]),
        span_id=int.from_bytes(digest[16:]),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )


@contextmanager
def root(name: str, *, of: str, kind: SpanKind, attributes: Mapping[str, str]) -> Iterator[Span]:
    """Begins the trace of an identity with a span that lasts as long as the block; errors are the block's to record."""
    token = root_to_be.set(context_of(of))
    try:
        span = _tracer.start_span(name, context=Context(), kind=kind, attributes=attributes)
    finally:
        root_to_be.reset(token)
    if not span.get_span_context().is_valid:
        # Nothing is recorded in this process.
        yield span
        return
    with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        yield span


@contextmanager
def child(name: str) -> Iterator[Span]:
    """Begins a span inside the one that runs; errors are the block's to record.

    Where that one is not recorded, neither is this one, and then it costs next to nothing.
    """
    parent = trace.get_current_span()
    if not parent.get_span_context().trace_flags.sampled:
        yield parent
        return
    with _tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False) as span:
        yield span


@contextmanager
def linked(name: str, *, to: str) -> Iterator[Span]:
    """Begins a trace of its own for work that a click has left behind, with a link to the trace of that click."""
    with _tracer.start_as_current_span(
        name, context=Context(), links=[trace.Link(context_of(to))], attributes={"clicktrace.click_id": to}
    ) as span:
        yield span


def fail(span: Span, error_type: str) -> None:
    """Marks a span as failed: OpenTelemetry wants the status and a type of low cardinality."""
    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR))


@contextmanager
def group(name: str, members: Sequence[Span]) -> Iterator[None]:
    """Puts the work of a group into the trace of its first sampled member, with links to the others and back.

    `members` are the spans of those who wait for it. A group in which one member has a trace needs no span of its own:
    what it calls becomes a child of that member's.
    """
    contexts = [member.get_span_context() for member in members]
    valid = [context for context in contexts if context.is_valid]
    if not valid:
        # Nothing is recorded in this process.
        yield
        return
    sampled = [context for context in valid if context.trace_flags.sampled]
    parent = trace.NonRecordingSpan((sampled or valid)[0])
    if len(sampled) < 2:
        with trace.use_span(parent):
            yield
        return
    with _tracer.start_as_current_span(
        name,
        context=trace.set_span_in_context(parent),
        links=[trace.Link(context) for context in sampled[1:]],
        attributes={"clicktrace.group.size": len(members)},
    ) as span:
        for member in members:
            if member.is_recording() and member.get_span_context() != sampled[0]:
                member.add_link(span.get_span_context())
        yield
