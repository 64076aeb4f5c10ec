"""Spans for work that is done for many callers at once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import trace

_tracer = trace.get_tracer(__name__)


def current() -> trace.SpanContext:
    """Returns the span that runs now, to be named later by `group`."""
    return trace.get_current_span().get_span_context()


@contextmanager
def group(name: str, contexts: Sequence[trace.SpanContext]) -> Iterator[None]:
    """Puts the work of a group into the trace of its first sampled member, with links to the others.

    A group in which one member has a trace needs no span of its own: what it calls becomes a child of that member's.
    """
    valid = [context for context in contexts if context.is_valid]
    sampled = [context for context in valid if context.trace_flags.sampled]
    parent = trace.NonRecordingSpan((sampled or valid or [trace.INVALID_SPAN_CONTEXT])[0])
    if len(sampled) < 2:
        with trace.use_span(parent):
            yield
        return
    with _tracer.start_as_current_span(
        name,
        context=trace.set_span_in_context(parent),
        links=[trace.Link(context) for context in sampled[1:]],
        attributes={"clicktrace.group.size": len(contexts)},
    ):
        yield
