"""The real Jaeger, all in one process, and what its query API says of a trace."""

import asyncio
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from local.ports import free_ports

_PORTS = (
    "collector.otlp.grpc.host-port",
    "query.http-server.host-port",
    "collector.otlp.http.host-port",
    "collector.http-server.host-port",
    "collector.grpc-server.host-port",
    "query.grpc-server.host-port",
    "admin.http.host-port",
    "http-server.host-port",
    "processor.jaeger-compact.server-host-port",
    "processor.jaeger-binary.server-host-port",
    "processor.zipkin-compact.server-host-port",
)


@dataclass(frozen=True, slots=True)
class Span:
    """One span, as Jaeger tells it; times are in microseconds."""

    service: str
    name: str
    span_id: str
    parent_id: str
    links: Sequence[tuple[str, str]]
    """The trace and span ids that it follows from."""
    start: int
    duration: int
    tags: Mapping[str, object]

    @property
    def end(self) -> int:
        """When it ended."""
        return self.start + self.duration

    @property
    def failed(self) -> bool:
        """Whether it is marked as an error."""
        return self.tags.get("error") is True


@dataclass(frozen=True, slots=True)
class Trace:
    """All spans of a trace."""

    spans: Sequence[Span]

    @property
    def root(self) -> Span:
        """The one span without a parent in the trace."""
        known = {span.span_id for span in self.spans}
        (root,) = (span for span in self.spans if span.parent_id not in known)
        return root

    def below(self, parent: Span, name: str, service: str = "") -> Sequence[Span]:
        """Returns the children of a span that have this name, in order of their start."""
        found = [
            span
            for span in self.spans
            if span.parent_id == parent.span_id and span.name == name and service in ("", span.service)
        ]
        return sorted(found, key=lambda span: span.start)

    def one(self, *path: str) -> Span:
        """Returns the only span at a path of names below the root; AssertionError if there is another number."""
        at = self.root
        for name in path:
            children = self.below(at, name)
            assert len(children) == 1, f"{at.name} has {len(children)} × {name}"
            at = children[0]
        return at

    def named(self, name: str) -> Sequence[Span]:
        """Returns all spans of a name."""
        return [span for span in self.spans if span.name == name]


@dataclass(frozen=True, slots=True)
class Jaeger:
    """A running Jaeger."""

    endpoint: str
    """What OTEL_EXPORTER_OTLP_ENDPOINT is to be."""
    query: str
    """Where the query API is."""

    async def ask(self, path: str) -> Any:
        """Returns what the query API says, empty for nothing; None while nobody answers."""
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(f"{self.query}{path}") as response:
                    return (await response.json())["data"] or [] if response.ok else []
            except aiohttp.ClientConnectionError:
                return None

    async def trace(self, trace_id: str, complete: Callable[[Trace], bool], *, seconds: float = 20) -> Trace:
        """Returns a trace once it is complete: spans come when they end, parents after their children."""
        trace = Trace(())
        try:
            async with asyncio.timeout(seconds):
                while True:
                    data = await self.ask(f"/api/traces/{trace_id}")
                    if data:
                        trace = Trace([_span(data[0]["processes"], span) for span in data[0]["spans"]])
                        if _is_connected(trace) and _has_both_sides(trace) and complete(trace):
                            return trace
                    await asyncio.sleep(0.05)
        except TimeoutError:
            names = sorted(f"{span.service} {span.name}" for span in trace.spans)
            raise AssertionError("\n".join(["the trace is not complete; it has:", *names])) from None


def _is_connected(trace: Trace) -> bool:
    known = {span.span_id for span in trace.spans}
    return [span.parent_id for span in trace.spans if span.parent_id not in known] == [""]


def _has_both_sides(trace: Trace) -> bool:
    """Whether the other service, which sends by itself, has told of each call that it took."""
    taken = {span.parent_id for span in trace.spans if span.tags.get("span.kind") == "server"}
    return all(
        span.span_id in taken
        for span in trace.spans
        if span.tags.get("span.kind") == "client" and span.tags.get("rpc.system.name") == "grpc"
    )


def _span(processes: Mapping[str, Any], span: Mapping[str, Any]) -> Span:
    references = span["references"]
    parents = [reference["spanID"] for reference in references if reference["refType"] == "CHILD_OF"]
    return Span(
        service=processes[span["processID"]]["serviceName"],
        name=span["operationName"],
        span_id=span["spanID"],
        parent_id=parents[0] if parents else "",
        links=[
            (reference["traceID"], reference["spanID"])
            for reference in references
            if reference["refType"] == "FOLLOWS_FROM"
        ],
        start=span["startTime"],
        duration=span["duration"],
        tags={tag["key"]: tag["value"] for tag in span["tags"]},
    )


@contextmanager
def running(program: str) -> Iterator[Jaeger]:
    """Runs Jaeger on ports of its own, and waits until it answers."""
    ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    arguments = [f"--{name}=127.0.0.1:{port}" for name, port in ports.items()]
    process = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    jaeger = Jaeger(
        f"http://127.0.0.1:{ports['collector.otlp.grpc.host-port']}",
        f"http://127.0.0.1:{ports['query.http-server.host-port']}",
    )

    async def ready() -> None:
        async with asyncio.timeout(30):
            while await jaeger.ask("/api/services") is None and process.poll() is None:
                await asyncio.sleep(0.05)

    try:
        asyncio.run(ready())
        assert process.poll() is None, "Jaeger has ended by itself"
        yield jaeger
    finally:
        process.kill()
        process.wait()
