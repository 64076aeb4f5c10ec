"""Every row of curl_redirects: curl's own redirect tests, with the tracer in the place of curl.

The origin plays the responses in order; what was asked for is compared request by request. A walk has no way to be
given an Authorization, Cookie, Host or Referer header, so a row whose first request has one that came from curl's
command line is run with what a walk can have instead, a user name and password in the URL, or without it; what later
requests must not carry is checked in every row.
"""

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import pytest
import pytest_asyncio

from clicktrace.common.v1 import common_pb2
from clicktrace.tracer.v1 import tracer_pb2 as pb
from tests.integration.tracer import outside
from tests.integration.tracer.outside import Row
from tests.integration.tracer.rig import Client, http_proxy, server_tls, serving
from tests.support.origin import Origin, Request, Wire, answer, page
from tests.support.scripted_proxy import ForwardProxy

pytestmark = [outside.needed, pytest.mark.asyncio(loop_scope="module")]

# curl was told to speak https alone; a browser follows a redirect to http, and so do we.
HTTPS_ONLY = "curl-325"
# The proxy for https of that test is another one, and is down; a walk has one proxy for both.
OTHER_PROXY_FOR_HTTPS = "curl-2009"
# curl writes a space in a query as +, which changes the parameter; the URL standard writes %20.
SPACE_AS_PLUS = {"curl-40", "curl-663"}
# curl was told to send the referring URL; a walk sends none after a Location, because it came from nowhere.
AUTO_REFERER = {"curl-2081", "curl-2505"}
# The last redirect of the source was not recorded, so the row has no answer to its last request.
UNANSWERED = {"curl-1519"}
HUGE_COOKIES = "curl-427"


@dataclass
class World:
    """An origin, reachable under every name, that plays responses in order."""

    client: Client
    script: list[bytes] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)
    proxy: common_pb2.Proxy = field(default_factory=common_pb2.Proxy)
    tunnels: list[Request] = field(default_factory=list)

    async def respond(self, request: Request, _wire: Wire) -> bytes:
        self.asked.append(request)
        return self.script.pop(0) if self.script else page("landed")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world() -> AsyncIterator[World]:
    async with serving() as rig:
        made = World(rig.client)
        async with (
            Origin(made.respond) as plain,
            Origin(made.respond, tls=server_tls()) as secure,
            ForwardProxy(plain, secure) as proxy,
        ):
            made.proxy = http_proxy(proxy.port)
            made.tunnels = proxy.requests
            yield made


def _script(row: Row) -> list[bytes]:
    script = []
    for response in row["responses"]:
        cookies = response.get("set_cookie", [])
        if row["id"] == HUGE_COOKIES:
            cookies = [f"long{number}={'abcdef' * 535}" for number in (1, 2, 3)]
        headers = [("Location", location) for location in response["location"]]
        script.append(answer(response["status"], headers + [("Set-Cookie", cookie) for cookie in cookies]))
    return script


def _start(row: Row) -> str:
    """Returns the URL to start from, with the credentials that curl was given on its command line."""
    base: str = row["base_url"]
    asked = row["expected_requests"]
    scheme, _, value = (asked[0].get("authorization", "") if asked else "").partition(" ")
    if scheme != "Basic":
        return base
    user, _, password = base64.b64decode(value).decode().partition(":")
    return base.replace("://", f"://{quote(user, safe='')}:{quote(password, safe='')}@", 1)


@pytest.mark.parametrize("row", outside.params("curl_redirects"))
async def test_curl(world: World, row: Row) -> None:
    world.script = _script(row)
    world.asked = []
    world.tunnels.clear()
    proxy = common_pb2.Proxy()
    proxy.CopyFrom(world.proxy)
    asked = row["expected_requests"]
    proxied = base64.b64decode(asked[0].get("proxy-authorization", " ").split(" ")[1]).decode() if asked else ""
    proxy.username, _, proxy.password = proxied.partition(":")
    walked = await world.client.trace(_start(row), proxy, policy=pb.Policy(allow_insecure_tls=True))

    if row["id"] == OTHER_PROXY_FOR_HTTPS:
        assert walked.stop == "LANDING"
        assert "proxy-authorization" not in dict(world.asked[1].headers)
        return
    if row["id"] == HTTPS_ONLY:
        assert walked.hops[0].next_url == "http://somewhere/325"
        return
    if row.get("expected_stop"):
        assert (
            walked.stop
            == {"invalid_location": "INVALID_LOCATION", "unsupported_scheme": "UNSUPPORTED_SCHEME"}[
                row["expected_stop"]
            ]
        )
        assert len(world.asked) == 1
        return
    assert walked.stop == "LANDING"
    if row["id"] in UNANSWERED:
        return
    assert len(world.asked) == len(asked)
    shown = {request.header("proxy-authorization") for request in world.tunnels}
    assert shown == {asked[0].get("proxy-authorization")}
    assert walked.result.hops == row["expected_hops"] + 1
    final = {row["expected_final_url"], *row.get("accept", ())}
    if row["id"] in SPACE_AS_PLUS:
        assert "+" not in walked.result.final_url
    without_credentials = urlsplit(walked.result.final_url)._replace(
        netloc=urlsplit(walked.result.final_url).netloc.rpartition("@")[2]
    )
    assert without_credentials.geturl() in final
    for number, (expected, request) in enumerate(zip(asked, world.asked, strict=True)):
        _check(row, number, expected, request)


def _check(row: Row, number: int, expected: Row, request: Request) -> None:
    wanted = urlsplit(expected["url"])
    custom_host = number == 0 and expected["host"] != wanted.netloc.rpartition("@")[2]
    assert request.method == "GET"
    assert custom_host or request.header("host") == expected["host"]
    if row["id"] not in SPACE_AS_PLUS:
        assert request.path == (wanted.path or "/") + (f"?{wanted.query}" if wanted.query else "")
    assert request.header("referer") is None
    if number or expected.get("authorization", "Basic").startswith("Basic"):
        assert request.header("authorization") == expected.get("authorization")
    assert request.header("proxy-authorization") is None
    if row["id"] == HUGE_COOKIES and number:
        assert 0 < len(request.header("cookie") or "") <= 8190
    elif number:
        mine = (request.header("cookie") or "").split("; ")
        assert sorted(filter(None, mine)) == sorted(filter(None, expected.get("cookie", "").split("; ")))
