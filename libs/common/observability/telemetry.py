"""OpenTelemetry for a process: where spans go, what is lost on the way, and how they are flushed at the end.

The standard `OTEL_*` variables rule. Those that we read are settings of every service; the SDK reads the others itself
(`OTEL_TRACES_SAMPLER`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_BSP_SCHEDULE_DELAY` and more).
"""

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from prometheus_client import Counter

from libs.common.observability import spans
from libs.common.process import logs
from libs.common.process.settings import ServiceSettings
from libs.common.version import VERSION

log = logs.get(__name__)

_FLUSH_SECONDS = 2.0

DROPPED = Counter(
    "clicktrace_spans_dropped", "Spans that no collector got: there was no room to keep them, or nobody took them."
)


class Telemetry:
    """Owns the tracer provider of this process."""

    def __init__(self, export: "tuple[TracerProvider, _Books] | None") -> None:
        """Holds a provider and its counts; None if nothing is exported."""
        self._export = export

    async def shutdown(self) -> None:
        """Sends what is left, for at most 2 s: a collector that is gone must not hold up the exit (13 s, measured)."""
        if self._export is None:
            return
        done = asyncio.Event()
        loop = asyncio.get_running_loop()
        provider, books = self._export

        def flush() -> None:
            provider.shutdown()
            loop.call_soon_threadsafe(done.set)

        # A daemon thread, so that a black-holed collector cannot keep the process alive either.
        threading.Thread(target=flush, name="telemetry-shutdown", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_SECONDS):
                await done.wait()
        if lost := books.close():
            log.warning("telemetry.lost", spans=lost, hint="the collector did not take the last spans in time")


class _Books:
    """Counts the spans on their way to the collector, and those that are lost there."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._waiting = 0
        self._sending = 0
        self._closed = False
        self._lock = threading.Lock()

    def admits(self) -> bool:
        """Reserves room for one span; returns whether there was any. A span without room is counted as lost."""
        with self._lock:
            admitted = self._waiting < self._room and not self._closed
            self._waiting += admitted
        if not admitted:
            DROPPED.inc()
        return admitted

    def sends(self, count: int) -> None:
        """Records that spans have left the queue."""
        with self._lock:
            self._waiting -= count
            self._sending += count

    def sent(self, count: int, *, arrived: bool) -> None:
        """Records whether the collector has accepted spans."""
        with self._lock:
            self._sending -= count
            if arrived or self._closed:
                return
        DROPPED.inc(count)

    def close(self) -> int:
        """Counts every span that has not arrived as lost; returns their number."""
        with self._lock:
            lost = 0 if self._closed else self._waiting + self._sending
            self._closed = True
        DROPPED.inc(lost)
        return lost


class _Admitting(SpanProcessor):
    """Passes on the spans that there is room for, because the batch processor drops the others silently."""

    def __init__(self, inner: SpanProcessor, books: _Books) -> None:
        self._inner = inner
        self._books = books

    def on_end(self, span: ReadableSpan) -> None:
        """Receives a span that has ended. Does not block."""
        if span.context is not None and span.context.trace_flags.sampled and self._books.admits():
            self._inner.on_end(span)

    def shutdown(self) -> None:
        """Sends the remaining spans."""
        self._inner.shutdown()


class _Reporting(SpanExporter):
    """An exporter whose failures are counted."""

    def __init__(self, exporter: SpanExporter, books: _Books) -> None:
        self._exporter = exporter
        self._books = books

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Sends a batch."""
        result = SpanExportResult.FAILURE
        self._books.sends(len(spans))
        try:
            result = self._exporter.export(spans)
        finally:
            self._books.sent(len(spans), arrived=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        """Abandons the batch that is being sent."""
        self._exporter.shutdown()


class _Ids(RandomIdGenerator):
    """Generates random ids, except for the roots that `spans` names."""

    def generate_trace_id(self) -> int:
        """Returns the id of a trace that begins."""
        wanted = spans.root_to_be.get()
        return wanted.trace_id if wanted else super().generate_trace_id()

    def generate_span_id(self) -> int:
        """Returns the id of a span that begins."""
        wanted = spans.root_to_be.get()
        return wanted.span_id if wanted else super().generate_span_id()


def setup(service: str, chosen: ServiceSettings) -> Telemetry:
    """Sets the tracer provider of this process; without an OTLP endpoint nothing is recorded, which costs nothing."""
    endpoint = chosen.otlp_traces_endpoint or chosen.otlp_endpoint
    if not endpoint or chosen.spans_disabled or chosen.spans_exporter == "none":
        return Telemetry(None)
    resource = Resource.create({"service.name": chosen.service_name or service, "service.version": VERSION})
    provider = TracerProvider(resource=resource, id_generator=_Ids())
    books = _Books(chosen.span_queue)
    batches = BatchSpanProcessor(_Reporting(_exporter(chosen), books), max_queue_size=chosen.span_queue)
    provider.add_span_processor(_Admitting(batches, books))
    trace.set_tracer_provider(provider)
    return Telemetry((provider, books))


def _exporter(chosen: ServiceSettings) -> SpanExporter:
    """Returns the exporter; its own default of 10 s is longer than spans of a busy process can wait."""
    # Late: a sixth of what a service loads, and only a process that exports needs it.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(timeout=chosen.otlp_traces_timeout or chosen.otlp_timeout)
