"""Plain http goes through tunnels; where a proxy opens none it forwards, and its own answers are never the target's."""

from collections.abc import Awaitable, Callable

import pytest

from clicktrace.common.v1 import common_pb2
from tests.integration.tracer.rig import Client, http_proxy
from tests.support.origin import Origin, Request, Wire, answer, page, redirect
from tests.support.scripted_proxy import ForwardProxy, Intercept

CHALLENGE = ("Proxy-Authenticate", "Basic realm=proxy")
Forwarded = Callable[[Request, Wire], Awaitable[bytes | None]]
"""Answers a forwarded request in place of the target; None passes it on."""


async def landing(_request: Request, _wire: Wire) -> bytes:
    return page("landed")


def refuses(status: int, *, forwarded: bytes | None = None) -> Intercept:
    """Refuses every CONNECT, and answers other requests so, or passes them on."""

    async def intercept(request: Request, wire: Wire) -> bool:
        if request.method == "CONNECT":
            await wire.send(answer(status))
            return True
        if forwarded is None:
            return False
        await wire.send(forwarded)
        return True

    return intercept


def named(port: int, provider: str) -> common_pb2.Proxy:
    """A proxy of a provider that no other test knows."""
    proxy = http_proxy(port)
    proxy.provider = provider
    return proxy


@pytest.mark.parametrize("status", [400, 403, 405, 501])
async def test_where_no_tunnel_is_opened_the_request_is_forwarded(client: Client, status: int) -> None:
    provider = f"forwards-after-{status}"
    async with Origin(landing) as origin, ForwardProxy(origin, intercept=refuses(status)) as proxy:
        walked = await client.trace("http://a.test/x?y=1", named(proxy.port, provider))
        assert [(one.method, one.target) for one in proxy.requests] == [
            ("CONNECT", "a.test:80"),
            ("GET", "http://a.test/x?y=1"),
        ]
        assert proxy.requests[1].header("cache-control") == "no-cache"
        assert proxy.requests[1].header("host") == "a.test"
        # What a provider does is known from then on, for this port.
        again = await client.trace("http://b.test/", named(proxy.port, provider))
        elsewhere = await client.trace("http://b.test:8080/", named(proxy.port, provider))
        assert [one.target for one in proxy.requests[2:]] == ["http://b.test/", "b.test:8080", "http://b.test:8080/"]
    assert {walked.stop, again.stop, elsewhere.stop} == {"LANDING"}
    assert all(one.result.forwarded for one in (walked, again, elsewhere))
    assert len(walked.hops) == 1


@pytest.mark.parametrize("status", [302, 401, 407, 404, 429, 500, 502, 503, 504])
async def test_no_other_answer_to_connect_leads_to_forwarding(client: Client, status: int) -> None:
    async with Origin(landing) as origin, ForwardProxy(origin, intercept=refuses(status)) as proxy:
        walked = await client.trace("http://a.test/", named(proxy.port, "never-forwards"))
        assert [one.method for one in proxy.requests] == ["CONNECT"]
    assert walked.stop in {"PROXY_ERROR", "CONNECTION_ERROR"}
    assert not walked.result.failure.target_reached


async def test_https_is_never_forwarded(client: Client) -> None:
    async with Origin(landing) as origin, ForwardProxy(origin, intercept=refuses(405)) as proxy:
        walked = await client.trace("https://a.test/", named(proxy.port, "no-https"))
        assert [one.method for one in proxy.requests] == ["CONNECT"]
    assert walked.reason == "PROXY_CONNECT_REFUSED"


async def test_a_provider_that_once_opened_a_tunnel_is_always_asked_for_one_first(client: Client) -> None:
    refused = False

    async def now_and_then(request: Request, wire: Wire) -> bool:
        if request.method == "CONNECT" and refused:
            await wire.send(answer(403))
            return True
        return False

    async with Origin(landing) as origin, ForwardProxy(origin, intercept=now_and_then) as proxy:
        await client.trace("http://a.test/", named(proxy.port, "mixed"))
        refused = True
        for _ in range(2):
            walked = await client.trace("http://denied.test/", named(proxy.port, "mixed"))
            assert walked.stop == "LANDING"
        assert [one.method for one in proxy.requests] == ["CONNECT", "CONNECT", "GET", "CONNECT", "GET"]


async def test_forwarding_that_does_not_work_is_not_remembered(client: Client) -> None:
    squid = refuses(403, forwarded=answer(403, [("X-Squid-Error", "ERR_ACCESS_DENIED 0"), ("Via", "1.1 p")]))
    async with Origin(landing) as origin, ForwardProxy(origin, intercept=squid) as proxy:
        for _ in range(2):
            walked = await client.trace("http://denied.test/", named(proxy.port, "denies"))
            assert (walked.stop, walked.reason, walked.blame) == ("PROXY_ERROR", "PROXY_OWN_ANSWER", "UNCLEAR")
        assert [one.method for one in proxy.requests] == ["CONNECT", "GET"] * 2
        assert origin.connections == 0


async def test_within_one_walk_a_tunnel_is_refused_once_for_a_port(client: Client) -> None:
    async def respond(request: Request, _wire: Wire) -> bytes:
        return page("landed") if request.path == "/3" else redirect(f"http://h.test/{int(request.path[1:]) + 1}")

    async with Origin(respond) as origin, ForwardProxy(origin, intercept=refuses(405)) as proxy:
        walked = await client.trace("http://a.test/1", http_proxy(proxy.port))
        assert [one.method for one in proxy.requests].count("CONNECT") == 1
        assert {request.header("cache-control") for request in origin.requests} == {"no-cache"}
    assert [hop.status for hop in walked.hops] == [302, 302, 200]


async def test_a_tunnel_serves_all_hops_to_its_host(client: Client) -> None:
    async def respond(request: Request, _wire: Wire) -> bytes:
        return page("landed") if request.path == "/3" else redirect(f"/{int(request.path[1:]) + 1}")

    async with Origin(respond) as origin, ForwardProxy(origin) as proxy:
        walked = await client.trace("http://a.test/1", http_proxy(proxy.port))
        assert [one.target for one in proxy.requests] == ["a.test:80"]
        assert {request.connection for request in origin.requests} == {1}
        assert [request.target for request in origin.requests] == ["/1", "/2", "/3"]
        # What comes through a tunnel is the target's, so a cache of the proxy need not be told.
        assert {request.header("cache-control") for request in origin.requests} == {None}
    assert walked.stop == "LANDING"


FORWARDED_CASES = {
    "407": (answer(407, [CHALLENGE]), ("PROXY_ERROR", "PROXY_AUTH_REQUIRED", "PROXY", False)),
    "407-without-challenge": (answer(407), ("PROXY_ERROR", "PROXY_FORWARDED_ERROR", "UNCLEAR", True)),
    "404": (answer(404), ("PROXY_ERROR", "PROXY_FORWARDED_ERROR", "UNCLEAR", True)),
    "503": (answer(503), ("PROXY_ERROR", "PROXY_FORWARDED_ERROR", "UNCLEAR", True)),
    "own-page": (
        answer(200, [("Server", "tinyproxy/1.11.1"), ("Content-Type", "text/html")], b"stats"),
        ("PROXY_ERROR", "PROXY_OWN_ANSWER", "UNCLEAR", True),
    ),
    "own-redirect": (
        answer(302, [("Location", "http://denied.test/why"), ("X-Squid-Error", "302 Access Denied")]),
        ("PROXY_ERROR", "PROXY_OWN_ANSWER", "UNCLEAR", True),
    ),
    "proxy-status": (
        answer(502, [("Proxy-Status", "exit.test; error=dns_error")]),
        ("PROXY_ERROR", "PROXY_OWN_ANSWER", "UNCLEAR", True),
    ),
    # The proxy may have passed the request on in these, so no other IP may be tried.
    "garbage": (b"SSH-2.0-proxy\r\n\r\n", ("PROTOCOL_ERROR", "MALFORMED_RESPONSE", "TARGET", True)),
    "closes": (b"", ("CONNECTION_ERROR", "CONNECTION_CLOSED", "UNCLEAR", True)),
}


@pytest.mark.parametrize("case", FORWARDED_CASES)
async def test_what_a_forwarding_proxy_says(client: Client, case: str) -> None:
    response, expected = FORWARDED_CASES[case]
    async with (
        Origin(landing) as origin,
        ForwardProxy(origin, intercept=refuses(405, forwarded=response)) as proxy,
    ):
        walked = await client.trace("http://a.test/", named(proxy.port, f"says-{case}"))
        assert origin.connections == 0
        assert [one.method for one in proxy.requests] == ["CONNECT", "GET"]
    failure = walked.result.failure
    assert (walked.stop, failure.reason, walked.blame, failure.target_reached) == expected
    assert failure.target_host == "a.test"
    assert walked.result.forwarded
    assert walked.result.final_status == walked.hops[0].status
    assert len(walked.hops) == 1
    assert walked.hops[0].next_url == ""


@pytest.mark.parametrize("how", ["reset", "silence"])
async def test_a_forwarding_proxy_that_breaks_off(client: Client, how: str) -> None:
    async def intercept(request: Request, wire: Wire) -> bool:
        if request.method == "CONNECT":
            await wire.send(answer(405))
        elif how == "reset":
            wire.reset()
        else:
            await wire.gone()
        return True

    async with Origin(landing) as origin, ForwardProxy(origin, intercept=intercept) as proxy:
        timeout = 0.3 if how == "silence" else 5
        walked = await client.trace("http://a.test/", named(proxy.port, f"breaks-{how}"), hop_timeout=timeout)
    expected = ("HOP_TIMEOUT", "RESPONSE_TIMEOUT") if how == "silence" else ("CONNECTION_ERROR", "CONNECTION_CLOSED")
    assert (walked.stop, walked.reason) == expected
    assert (walked.blame, walked.result.failure.target_reached) == ("UNCLEAR", True)


async def test_an_error_that_came_through_a_tunnel_is_the_targets_whatever_its_headers_say(client: Client) -> None:
    async def respond(_request: Request, _wire: Wire) -> bytes:
        return answer(503, [("X-Squid-Error", "ERR_DNS_FAIL 0"), ("Server", "squid")])

    async with Origin(respond) as origin, ForwardProxy(origin) as proxy:
        walked = await client.trace("http://a.test/", http_proxy(proxy.port))
    assert walked.stop == "LANDING"
    assert walked.hops[0].status == 503
