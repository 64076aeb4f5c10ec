"""The tracer is a good citizen of its cluster: it says no in time, ends in time, and leaves nothing behind."""

import asyncio
from typing import Any

import pytest
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from clicktrace.common.v1 import common_pb2
from clicktrace.tracer.v1 import tracer_pb2 as pb
from libs.common.errors import ClicktraceError, Code
from libs.common.rpc import status, times
from tests.integration.tracer.rig import Client, Rig, Walked, http_proxy, serving
from tests.support.origin import Origin, Request, Wire, answer, page, redirect
from tests.support.scripted_proxy import ForwardProxy


async def landing(_request: Request, _wire: Wire) -> bytes:
    return page("landed")


async def silent(_request: Request, wire: Wire) -> None:
    await wire.gone()


async def refused(client: Client, request: pb.TraceRequest) -> ClicktraceError:
    """Asks for a walk that must be refused, and returns the error."""
    with pytest.raises(aio.AioRpcError) as raised:
        await client.walk(request)
    return status.from_rpc_error(raised.value)


async def test_every_faulty_field_is_named_at_once(client: Client) -> None:
    error = await refused(
        client,
        pb.TraceRequest(
            url="ftp://a.test/",
            proxy=common_pb2.Proxy(
                ip_address="bad host\r\n", ip_port=70000, username="a:b", password="x\r\nHost: evil"
            ),
            limits=pb.Limits(
                max_hops=101, hop_timeout=times.to_duration(-1), total_timeout=times.to_duration(301), max_body_bytes=-1
            ),
            headers=pb.RequestHeaders(user_agent="x\r\nEvil: yes", accept_language="x" * 257),
            hop_delay=times.to_duration(11),
        ),
    )
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert {violation.field for violation in error.violations} == {
        "trace_id",
        "url",
        "proxy.ip_address",
        "proxy.ip_port",
        "proxy.username",
        "proxy.password",
        "limits.max_hops",
        "limits.hop_timeout",
        "limits.total_timeout",
        "limits.max_body_bytes",
        "headers.user_agent",
        "headers.accept_language",
        "hop_delay",
    }
    assert "evil" not in str(error).lower()


@pytest.mark.parametrize(
    "url", ["", "a.test", "http://", "http://exa mple/", "javascript:alert(1)", "http://[fe80::1%25eth0]/"]
)
async def test_a_walk_has_to_begin_somewhere(client: Client, url: str) -> None:
    error = await refused(client, pb.TraceRequest(trace_id="t", url=url))
    assert [violation.field for violation in error.violations] == ["url"]


async def test_without_a_proxy_only_if_the_operator_allows_it() -> None:
    async with serving(allow_direct=False) as rig:
        error = await refused(rig.client, pb.TraceRequest(trace_id="t", url="http://a.test/"))
    assert [violation.field for violation in error.violations] == ["proxy"]


async def _health(client: Client, name: str) -> int:
    stub: Any = health_pb2_grpc.HealthStub(client.channel)
    return int((await stub.Check(health_pb2.HealthCheckRequest(service=name))).status)


async def _services(client: Client) -> list[str]:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(client.channel)  # type: ignore[arg-type] # the stubs know no aio
    answers = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    return [service.name async for answer in answers for service in answer.list_services_response.service]


async def test_too_many_walks_are_turned_away_and_the_server_stays_reachable() -> None:
    async with serving(max_traces=2) as rig, Origin(silent) as origin:
        request = pb.TraceRequest(trace_id="t", url=f"http://127.0.0.1:{origin.port}/")
        calls = [rig.client.call(request) for _ in range(2)]
        reading = [asyncio.create_task(call.read()) for call in calls]
        await origin.until(lambda: len(origin.requests) == 2)

        error = await refused(rig.client, request)
        assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, "TRACER_BUSY")
        assert error.retry_after is not None
        assert error.retry_after > 0

        assert await _health(rig.client, "readiness") == health_pb2.HealthCheckResponse.SERVING
        assert "clicktrace.tracer.v1.Tracer" in await _services(rig.client)

        for call in calls:
            call.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        await origin.until(lambda: origin.open == 0)
        async with Origin(landing) as open_origin:
            walked = await rig.client.trace(f"http://127.0.0.1:{open_origin.port}/")
        assert walked.stop == "LANDING"


async def test_the_deadline_of_the_call_ends_the_walk_in_time_for_its_result(client: Client) -> None:
    async with Origin(silent) as origin:
        request = pb.TraceRequest(trace_id="t", url=f"http://127.0.0.1:{origin.port}/")
        walked = await client.walk(request, timeout=0.8)
        await origin.until(lambda: origin.open == 0)
    assert (walked.stop, walked.reason, walked.blame) == ("TOTAL_TIMEOUT", "TOTAL_TIMEOUT", "CALLER")
    assert walked.result.failure.target_reached
    assert [hop.error for hop in walked.hops] == ["TOTAL_TIMEOUT"]


@pytest.mark.parametrize("through_proxy", [False, True])
@pytest.mark.parametrize("script", ["silent", "drip", "tunnel"])
async def test_a_caller_that_leaves_ends_its_walk_and_closes_its_sockets(script: str, through_proxy: bool) -> None:
    async def drip(_request: Request, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>")
        await wire.gone()

    async def keep_waiting(_request: Request, wire: Wire) -> bool:
        if script != "tunnel":
            return False
        await wire.gone()
        return True

    async with (
        serving() as rig,
        Origin(drip if script == "drip" else silent) as origin,
        ForwardProxy(origin, intercept=keep_waiting) as proxy,
    ):
        url = f"http://127.0.0.1:{origin.port}/"
        if script == "tunnel":
            url = "https://a.test/"
        proxied = http_proxy(proxy.port) if through_proxy or script == "tunnel" else None
        call = rig.client.call(pb.TraceRequest(trace_id="t", url=url, proxy=proxied))
        reading = asyncio.create_task(call.read())
        if script == "tunnel":
            await proxy.until(lambda: len(proxy.requests) == 1)
        else:
            await origin.until(lambda: len(origin.requests) == 1)
        call.cancel()
        async with asyncio.timeout(1):
            await origin.until(lambda: origin.open == 0)
            await proxy.until(lambda: proxy.open == 0)
        await asyncio.gather(reading, return_exceptions=True)
        assert not rig.tracer._walks


async def test_a_caller_whose_connection_breaks_ends_its_walk(client: Client) -> None:
    async with Origin(silent) as origin:
        other = Client(client.target)
        call = other.call(pb.TraceRequest(trace_id="t", url=f"http://127.0.0.1:{origin.port}/"))
        reading = asyncio.create_task(call.read())
        await origin.until(lambda: len(origin.requests) == 1)
        await other.channel.close()
        async with asyncio.timeout(1):
            await origin.until(lambda: origin.open == 0)
        await asyncio.gather(reading, return_exceptions=True)


async def _long_urls(request: Request, _wire: Wire) -> bytes:
    number = int(request.path.strip("/").partition("?")[0] or "0")
    return redirect(f"/{number + 1}?{'x' * 60_000}")


async def test_a_caller_that_does_not_read_stops_the_walk_where_it_is(client: Client) -> None:
    async with Origin(_long_urls) as origin:
        limits = pb.Limits(max_hops=100)
        call = client.call(pb.TraceRequest(trace_id="t", url=f"http://127.0.0.1:{origin.port}/0", limits=limits))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await origin.until(lambda: len(origin.requests) >= 90)
        held_at = len(origin.requests)
        events = [event async for event in call]
        assert held_at < len(origin.requests) == 100
    assert events[-1].result.hops == 100


async def test_a_caller_that_never_reads_loses_its_walk() -> None:
    async with serving(write_timeout=0.2) as rig, Origin(_long_urls) as origin:
        limits = pb.Limits(max_hops=100)
        request = pb.TraceRequest(trace_id="t", url=f"http://127.0.0.1:{origin.port}/0", limits=limits)
        call = rig.client.call(request)
        async with asyncio.timeout(5):
            await origin.until(lambda: len(origin.requests) > 0)
            await origin.until(lambda: origin.open == 0)
        assert not rig.tracer._walks
        with pytest.raises(aio.AioRpcError) as raised:
            async for _ in call:
                pass
        assert raised.value.code() is StatusCode.DEADLINE_EXCEEDED
        assert status.from_rpc_error(raised.value).reason == "CALLER_NOT_READING"


async def test_a_walk_leaves_its_proxy_before_the_lease_ends(client: Client) -> None:
    lease = 0.9
    async with Origin(silent) as origin, ForwardProxy(origin) as proxy:
        request = pb.TraceRequest(trace_id="t", url="http://a.test/", proxy=http_proxy(proxy.port))
        request.lease_remaining.CopyFrom(times.to_duration(lease))
        began = asyncio.get_running_loop().time()
        walked = await client.walk(request)
        took = asyncio.get_running_loop().time() - began
        await proxy.until(lambda: proxy.open == 0)
    assert (walked.stop, walked.blame) == ("LEASE_EXPIRING", "CALLER")
    assert took < lease


async def test_a_lease_that_is_over_is_never_used(client: Client) -> None:
    async with Origin(landing) as origin, ForwardProxy(origin) as proxy:
        walked = await client.trace("http://a.test/", http_proxy(proxy.port), lease_remaining=times.to_duration(0.3))
        assert proxy.connections == 0
    assert walked.stop == "LEASE_EXPIRING"
    assert not walked.result.failure.target_reached
    assert walked.hops == []


async def test_a_lease_ends_the_chain_between_two_hops(client: Client) -> None:
    async def respond(_request: Request, _wire: Wire) -> bytes:
        await asyncio.sleep(0.1)
        return redirect("/again")

    async with Origin(respond) as origin, ForwardProxy(origin) as proxy:
        walked = await client.trace(
            "http://a.test/", http_proxy(proxy.port), max_hops=100, lease_remaining=times.to_duration(0.95)
        )
    assert walked.stop == "LEASE_EXPIRING"
    assert 2 <= len(walked.hops) <= 6


async def test_the_way_through_the_proxy_keeps_the_blame_when_it_used_up_all_the_time(client: Client) -> None:
    async def stall(_request: Request, wire: Wire) -> bool:
        await wire.gone()
        return True

    async with Origin(landing) as origin, ForwardProxy(origin, intercept=stall) as proxy:
        walked = await client.trace("https://a.test/", http_proxy(proxy.port), hop_timeout=5, total_timeout=0.3)
    assert (walked.stop, walked.reason, walked.blame) == ("TOTAL_TIMEOUT", "PROXY_TUNNEL_TIMEOUT", "UNCLEAR")


async def test_a_walk_that_is_stopped_says_so_and_keeps_its_hops(rig: Rig) -> None:
    async def respond(request: Request, wire: Wire) -> bytes | None:
        if request.path == "/":
            return redirect("/2")
        await wire.gone()
        return None

    async with Origin(respond) as origin:
        request = pb.TraceRequest(trace_id="t", url=f"http://127.0.0.1:{origin.port}/")
        walking = asyncio.create_task(rig.client.walk(request))
        await origin.until(lambda: len(origin.requests) == 2)
        rig.tracer.stop_walks()
        walked = await walking
        await origin.until(lambda: origin.open == 0)
        assert (walked.stop, walked.reason, walked.blame) == ("CANCELLED", "SHUTTING_DOWN", "CALLER")
        assert [hop.status for hop in walked.hops] == [302, 0]

        error = await refused(rig.client, request)
        assert (error.code, error.reason) == (Code.UNAVAILABLE, "SHUTTING_DOWN")


async def test_a_long_body_nobody_needs_holds_nothing_up(client: Client) -> None:
    """The next hop begins although the body of the redirect never ends."""

    async def respond(request: Request, wire: Wire) -> bytes | None:
        if request.path == "/end":
            return page("landed")
        await wire.send(b"HTTP/1.1 302 Found\r\nLocation: /end\r\nContent-Length: 10000000\r\n\r\nx")
        await wire.gone()
        return None

    async with Origin(respond) as origin:
        walked = await client.trace(f"http://127.0.0.1:{origin.port}/")
    assert walked.stop == "LANDING"
    assert times.to_seconds(walked.hops[0].timing.total) < 0.5


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Type", "image/png")],
        [("Content-Type", "application/octet-stream")],
        [("Content-Type", "text/html"), ("Content-Disposition", "attachment; filename=x.html")],
    ],
)
async def test_a_body_that_is_no_page_is_not_read(client: Client, headers: list[tuple[str, str | bytes]]) -> None:
    async def respond(_request: Request, wire: Wire) -> None:
        head = answer(200, headers).replace(b"Content-Length: 0\r\n", b"Content-Length: 100000000\r\n")
        await wire.send(head, b'<meta http-equiv="refresh" content="0;url=/wrong">')
        await wire.gone()

    async with Origin(respond) as origin:
        walked = await client.trace(f"http://127.0.0.1:{origin.port}/")
        assert len(origin.requests) == 1
    assert walked.stop == "LANDING"
    assert walked.hops[0].error == ""


async def test_hops_with_the_longest_urls_are_grouped_without_losing_the_walk(client: Client) -> None:
    async def respond(request: Request, _wire: Wire) -> bytes:
        left = int(request.path[1:].partition("?")[0])
        return redirect(f"/{left - 1}?{'a&' * 32_000}") if left else page("landed")

    async with Origin(respond) as origin:
        walked = Walked()
        request = pb.TraceRequest(
            trace_id="t", url=f"http://127.0.0.1:{origin.port}/19", hop_delay=times.to_duration(10)
        )
        async for event in client.call(request):
            walked.hops += [*event.earlier_hops, *([event.hop] if event.HasField("hop") else [])]
            walked.results += [event.result] if event.HasField("result") else []
    assert walked.stop == "LANDING"
    assert [hop.index for hop in walked.hops] == list(range(20))
    assert all(hop.url.endswith("a&" * 32_000) for hop in walked.hops[1:])
