"""OpenTelemetry for a process: where spans go, and how they are flushed at the end.

The standard `OTEL_*` variables rule: `OTEL_EXPORTER_OTLP_ENDPOINT` (no endpoint: nothing is exported),
`OTEL_TRACES_SAMPLER`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_BSP_*`, `OTEL_SDK_DISABLED`.
"""

import asyncio
import os
import threading

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from libs.common import logs

log = logs.get(__name__)

# A burst of clicks overran the default queue of 2,048 spans when measured.
_QUEUE = 16_384
_FLUSH_SECONDS = 2.0


class Telemetry:
    """Owns the tracer provider of this process."""

    def __init__(self, provider: TracerProvider | None) -> None:
        """Holds a provider, or none if nothing is exported."""
        self._provider = provider

    async def shutdown(self) -> None:
        """Sends what is left, for at most 2 s: a collector that is gone must not hold up the exit (13 s, measured)."""
        if self._provider is None:
            return
        done = asyncio.Event()
        loop = asyncio.get_running_loop()
        provider = self._provider

        def flush() -> None:
            provider.shutdown()
            loop.call_soon_threadsafe(done.set)

        # A daemon thread, so that a black-holed collector cannot keep the process alive either.
        threading.Thread(target=flush, name="telemetry-shutdown", daemon=True).start()
        try:
            async with asyncio.timeout(_FLUSH_SECONDS):
                await done.wait()
        except TimeoutError:
            log.warning("telemetry.lost", hint="the collector did not take the last spans in time")


def setup(service: str) -> Telemetry:
    """Sets the tracer provider of this process; without an OTLP endpoint nothing is recorded, which costs nothing."""
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if not endpoint or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return Telemetry(None)
    resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME") or service})
    provider = TracerProvider(resource=resource)
    queue = int(os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE") or _QUEUE)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=2), max_queue_size=queue))
    trace.set_tracer_provider(provider)
    return Telemetry(provider)
