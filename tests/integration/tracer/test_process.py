"""The tracer as a process: how it starts, drains, and what it tells."""

import asyncio
import os
import re
import sys

import pytest

from tests.integration.tracer.process import ROOT, tracer
from tests.integration.tracer.rig import http_proxy
from tests.support.origin import Origin, Request, Wire, page, redirect
from tests.support.otlp import OtlpSink
from tests.support.scripted_proxy import ForwardProxy


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


async def test_a_setting_lets_spans_show_queries_but_no_credentials() -> None:
    async def respond(_request: Request, _wire: Wire) -> bytes:
        return page("landed")

    with OtlpSink() as sink:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint, "TRACER_ALLOW_DIRECT": "true"}
        async with tracer(**settings, TRACER_SPAN_QUERIES="true") as process, Origin(respond) as origin:
            await process.client.trace(f"http://user:secret@127.0.0.1:{origin.port}/?gclid=money#frag")
            process.running.terminate()
            (span,) = (span for span in await sink.wait_for("GET") if span.name == "GET")
    assert span.attributes["url.full"] == f"http://127.0.0.1:{origin.port}/?gclid=money"
