"""Spans for work that is done for many clicks at once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import trace

_tracer = trace.get_tracer(__name__)


def current() -> trace.SpanContext:
    """Returns the span that runs now, to be named later by `group`."""
    return trace.get_current_span().get_span_context()


@contextmanager
def group(name: str, contexts: Sequence[trace.SpanContext]) -> Iterator[None]:
    """Puts the work of a group into the trace of its first member, with links to the others.

    A group of one needs no span of its own: what it calls becomes a child of its member's span.
    """
    parent = trace.set_span_in_context(trace.NonRecordingSpan(contexts[0]))
    if len(contexts) == 1:
        with trace.use_span(trace.NonRecordingSpan(contexts[0])):
            yield
        return
    links = [trace.Link(context) for context in contexts[1:] if context.is_valid]
    with _tracer.start_as_current_span(name, context=parent, links=links, attributes={"group.size": len(contexts)}):
        yield
