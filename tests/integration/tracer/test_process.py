"""The tracer as a process: how it starts, drains, and what it does after it was asleep."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from libs.common.pb.clicktrace.tracer.v1 import tracer_pb2 as pb
from libs.common.rpc import times
from tests.integration.tracer.rig import CERTIFICATES, Client, http_proxy
from tests.support.origin import Origin, RawServer, Request, Wire, page, read_request, redirect
from tests.support.otlp import OtlpSink
from tests.support.scripted_proxy import ForwardProxy

ROOT = Path(__file__).parents[3]


@dataclass
class Process:
    """A tracer in a process of its own."""

    client: Client
    running: asyncio.subprocess.Process
    lines: list[str]

    async def line(self, pattern: str) -> re.Match[str]:
        """Reads on in its log to a line that has this in it."""
        assert self.running.stderr is not None
        while raw := await self.running.stderr.readline():
            self.lines.append(raw.decode())
            if found := re.search(pattern, self.lines[-1]):
                return found
        raise AssertionError(f"no {pattern} in {''.join(self.lines)}")

    async def until(self, state: str) -> None:
        """Waits until every thread of the process is in that state: S for waiting, T for stopped."""
        async with asyncio.timeout(5):
            while states(self.running.pid) != {state}:
                await asyncio.sleep(0)


def states(pid: int) -> set[str]:
    """Returns the states of the threads of a process, as the kernel calls them."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks}


@asynccontextmanager
async def tracer(**settings: str) -> AsyncIterator[Process]:
    """Starts `python -m services.tracer` and ends it."""
    environment = {
        "PATH": os.environ["PATH"],
        "LOG_FORMAT": "json",
        "TRACER_LISTEN": "127.0.0.1:0",
        "TRACER_ALLOWED_NETWORKS": "127.0.0.0/8",
        "TRACER_CA_FILE": str(CERTIFICATES / "ca.pem"),
        **settings,
    }
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.tracer", cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE
    )
    process = Process(Client(""), running, [])
    try:
        await process.client.channel.close()
        port = (await process.line(r'"address": "127\.0\.0\.1:(\d+)".*server\.listening'))[1]
        process.client = Client(f"127.0.0.1:{port}")
        yield process
    finally:
        await process.client.channel.close()
        if running.returncode is None:
            running.send_signal(signal.SIGCONT)
            running.kill()
        await running.communicate()


async def test_faulty_settings_are_all_told_at_once() -> None:
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.tracer",
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "TRACER_MAX_TRACES": "none", "TRACER_GRACE": "soon"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await running.communicate()
    assert running.returncode == 2
    assert b"TRACER_MAX_TRACES" in told
    assert b"TRACER_GRACE" in told


class LateTunnel(RawServer):
    """A proxy that answers CONNECT only when it is told to, and keeps what comes after that."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()
        self.came_after: bytes | None = None

    async def serve(self, wire: Wire, connection: int) -> None:
        await read_request(wire.reader, connection)
        self.asked.set()
        await self.answer.wait()
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\n")
        self.came_after = b""
        while part := await wire.reader.read(65536):
            self.came_after += part


@pytest.mark.chaos
async def test_nothing_leaves_on_a_proxy_after_the_lease_even_when_the_process_was_asleep() -> None:
    async with tracer() as process, LateTunnel() as proxy:
        request = pb.TraceRequest(
            trace_id="t",
            url="https://a.test/",
            proxy=http_proxy(proxy.port),
            lease_remaining=times.to_duration(1.2),
        )
        walking = asyncio.create_task(process.client.walk(request))
        await proxy.asked.wait()
        # Only what is not in the middle of a call into libcurl can be late at the next one.
        await process.until("S")
        os.kill(process.running.pid, signal.SIGSTOP)
        await process.until("T")
        proxy.answer.set()
        # The lease runs out while the process sleeps, with the proxy's answer waiting in its socket.
        await asyncio.sleep(1.3)
        os.kill(process.running.pid, signal.SIGCONT)
        walked = await walking
        await proxy.until(lambda: proxy.open == 0)
    assert walked.stop == "LEASE_EXPIRING"
    assert not walked.result.failure.target_reached
    assert proxy.came_after == b""


async def test_sigterm_lets_walks_finish() -> None:
    go_on = asyncio.Event()

    async def respond(_request: Request, _wire: Wire) -> bytes:
        await go_on.wait()
        return page("landed")

    async with tracer(TRACER_ALLOW_DIRECT="true") as process, Origin(respond) as origin:
        walking = asyncio.create_task(process.client.trace(f"http://127.0.0.1:{origin.port}/"))
        await origin.until(lambda: len(origin.requests) == 1)
        process.running.terminate()
        await process.line("process.stopping")
        go_on.set()
        walked = await walking
        assert walked.stop == "LANDING"
        async with asyncio.timeout(5):
            assert await process.running.wait() == 0


async def test_walks_that_outlast_the_grace_are_cancelled_with_a_result() -> None:
    async def respond(_request: Request, wire: Wire) -> None:
        await wire.gone()

    async with tracer(TRACER_ALLOW_DIRECT="true", TRACER_GRACE="1.5s") as process, Origin(respond) as origin:
        walking = asyncio.create_task(process.client.trace(f"http://127.0.0.1:{origin.port}/"))
        await origin.until(lambda: len(origin.requests) == 1)
        process.running.terminate()
        walked = await walking
        assert (walked.stop, walked.reason) == ("CANCELLED", "SHUTTING_DOWN")
        assert len(walked.hops) == 1
        async with asyncio.timeout(5):
            assert await process.running.wait() == 0


async def test_metrics_are_there_for_prometheus() -> None:
    async def respond(_request: Request, _wire: Wire) -> bytes:
        return page("landed")

    settings = {"TRACER_ALLOW_DIRECT": "true", "TRACER_METRICS_LISTEN": "127.0.0.1:0", "LOG_LEVEL": "info"}
    async with Origin(respond) as origin:
        running = tracer(**settings)
        async with running as process:
            port = int(next(re.findall(r":(\d+)\"", line) for line in process.lines if "metrics.listening" in line)[0])
            await process.client.trace(f"http://127.0.0.1:{origin.port}/")
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
            told = (await reader.read()).decode()
            writer.close()
    assert "clicktrace_tracer_traces_in_flight 0.0" in told
    assert 'clicktrace_tracer_stops_total{blame="NONE",stop_reason="LANDING"} 1.0' in told
    assert "clicktrace_tracer_hop_seconds_count 1.0" in told


@pytest.mark.parametrize("level", ["debug", "info"])
async def test_the_log_names_hosts_and_never_a_query(level: str) -> None:
    async def respond(_request: Request, _wire: Wire) -> bytes:
        return page("landed")

    async with tracer(TRACER_ALLOW_DIRECT="true", LOG_LEVEL=level) as process, Origin(respond) as origin:
        await process.client.trace(f"http://user:secret@127.0.0.1:{origin.port}/?gclid=money#frag")
        await process.line("trace.ended")
    told = "".join(process.lines)
    assert ("trace.hop" in told) is (level == "debug")
    assert "127.0.0.1" in told
    assert not re.search("money|secret|frag", told)


async def test_a_span_for_each_hop_without_a_query_value() -> None:
    async def respond(request: Request, wire: Wire) -> bytes | None:
        if request.path.startswith("/start"):
            return redirect("http://b.test/end?gclid=money&x=1#frag", 307)
        wire.reset()
        return None

    with OtlpSink() as sink:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint, "TRACER_ALLOWED_HOSTS": "*"}
        async with tracer(**settings) as process, Origin(respond) as origin, ForwardProxy(origin) as proxy:
            proxied = http_proxy(proxy.port, credentials=True)
            proxied.country = "GB"
            await process.client.trace("http://user:secret@a.test/start?gclid=money", proxied)
            process.running.terminate()
            spans = await sink.wait_for("GET", "GET", "clicktrace.tracer.v1.Tracer/Trace")
    (call,) = (span for span in spans if span.name.endswith("/Trace"))
    first, second = sorted((span for span in spans if span.name == "GET"), key=lambda span: span.start)
    assert {first.parent_id, second.parent_id} == {call.span_id}
    assert call.start <= first.start <= first.end <= second.end <= call.end
    assert call.attributes["clicktrace.stop_reason"] == "CONNECTION_ERROR"
    assert call.attributes["clicktrace.target_reached"] is True
    assert not first.failed
    assert first.attributes == {
        "http.request.method": "GET",
        "url.full": "http://a.test/start",
        "url.scheme": "http",
        "server.address": "a.test",
        "server.port": 80,
        "clicktrace.hop.index": 0,
        "http.response.status_code": 307,
        "network.protocol.version": "1.1",
        "network.peer.address": "127.0.0.1",
        "clicktrace.hop.kind": "LOCATION",
        "clicktrace.proxy.provider": "scripted",
        "clicktrace.proxy.country": "GB",
    }
    assert second.failed
    assert second.attributes["error.type"] == "CONNECTION_CLOSED"
    assert second.attributes["http.request.resend_count"] == 1
    assert second.attributes["url.full"] == "http://b.test/end"
    assert not re.search("money|secret|frag", str(spans))
