"""A collector in the test's own process: a real OTLP/gRPC endpoint that keeps what it is sent."""

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent import futures
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


@dataclass(frozen=True)
class ReceivedSpan:
    """One span, as it came over the wire."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    failed: bool
    attributes: dict[str, object]
    start: int
    end: int
    events: tuple[str, ...] = ()


@dataclass
class OtlpSink:
    """Collects spans from any number of processes; usable as a context manager. Lives in threads of its own."""

    spans: list[ReceivedSpan] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._changed = threading.Condition()
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
        sink = self

        class Servicer(trace_service_pb2_grpc.TraceServiceServicer):
            def Export(self, request: Any, context: Any) -> Any:  # noqa: ARG002
                sink._take(request)
                return trace_service_pb2.ExportTraceServiceResponse()

        add: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
        add(Servicer(), self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(0).wait()

    @property
    def endpoint(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT is to be."""
        return f"http://127.0.0.1:{self.port}"

    async def wait_for(self, *names: str, seconds: float = 20) -> Sequence[ReceivedSpan]:
        """Waits until each name has come (a name given twice: two spans of it), and returns all spans that came.

        AssertionError tells what came instead.
        """
        wanted = Counter(names)

        def wait() -> bool:
            with self._changed:
                return self._changed.wait_for(lambda: wanted <= Counter(span.name for span in self.spans), seconds)

        if not await asyncio.to_thread(wait):
            raise AssertionError(f"wanted {dict(wanted)}, got {dict(Counter(span.name for span in self.spans))}")
        return list(self.spans)

    def _take(self, request: Any) -> None:
        with self._changed:
            for resource in request.resource_spans:
                service = next(
                    (a.value.string_value for a in resource.resource.attributes if a.key == "service.name"), ""
                )
                for scope in resource.scope_spans:
                    self.spans.extend(_read(service, span) for span in scope.spans)
            self._changed.notify_all()


def _read(service: str, span: Any) -> ReceivedSpan:
    return ReceivedSpan(
        service=service,
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=span.kind,
        failed=span.status.code == 2,
        attributes={
            attribute.key: getattr(attribute.value, attribute.value.WhichOneof("value"))
            for attribute in span.attributes
        },
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        events=tuple(event.name for event in span.events),
    )
