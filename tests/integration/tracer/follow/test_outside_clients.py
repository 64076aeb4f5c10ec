"""Every row of client_redirects: what requests, aiohttp, undici, Go, WPT fetch, httpx and Scrapy hold their clients to.

A walk asks with GET alone and takes no headers of its own but two, so rows about HEAD, POST and a caller's own headers
have nothing to hold it to; they are listed by name below.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from clicktrace.common.v1 import common_pb2
from clicktrace.tracer.v1 import tracer_pb2 as pb
from services.tracer.follow import urls
from tests.integration.tracer import outside
from tests.integration.tracer.outside import Row
from tests.integration.tracer.rig import Client, Walked, http_proxy, server_tls, serving
from tests.support.origin import Origin, Request, Respond, Wire, answer, page, redirect
from tests.support.scripted_proxy import ForwardProxy

pytestmark = [outside.needed, pytest.mark.asyncio(loop_scope="module")]

# A walk only ever asks with GET.
OTHER_METHODS = {"go-m-HEAD-301", "go-m-HEAD-303", "go-m-POST-302", "go-m-POST-308"}
# A walk cannot be given headers of the caller's.
CALLERS_HEADERS = {"go-hdr-01", "go-hdr-02"}
# A walk always follows.
NOT_FOLLOWING = {"pd-loc"}
NOT_APPLICABLE = OTHER_METHODS | CALLERS_HEADERS | NOT_FOLLOWING

# Where the source stops at an app's scheme with an error, we say that the chain leads to an app (DESIGN 6.5).
APP_SCHEMES = {"ah-scheme-1"}

# The sources wrote these as they stood; a URL that the standard parsed is written in one way only.
SERIALIZED = {"http://example.com:80/bar": "http://example.com/bar", "http://link.com": "http://link.com/"}


@dataclass
class World:
    """An origin, reachable under every name, that answers as each test says."""

    client: Client
    answers: Respond | None = None
    asked: list[Request] = field(default_factory=list)
    proxy: common_pb2.Proxy = field(default_factory=common_pb2.Proxy)

    async def respond(self, request: Request, wire: Wire) -> bytes | None:
        self.asked.append(request)
        assert self.answers is not None
        return await self.answers(request, wire)

    async def walk(self, url: str, answers: Respond, **limits: Any) -> Walked:
        self.asked.clear()
        self.answers = answers
        return await self.client.trace(url, self.proxy, policy=pb.Policy(allow_insecure_tls=True), **limits)

    async def walk_script(self, url: str, *script: bytes, **limits: Any) -> Walked:
        """Walks while the origin plays responses in order, and a landing page behind them."""
        remaining = list(script)

        async def play(_request: Request, _wire: Wire) -> bytes:
            return remaining.pop(0) if remaining else page("landed")

        return await self.walk(url, play, **limits)


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
            yield made


SPECIAL = {
    "rq-02", "rq-07", "rq-12", "rq-13", "rq-14", "rq-ref-1", "ah-auth-url", "un-body", "un-xorig", "go-eat", "go-to",
    "pd-363", "sc-meta-long", "wpt-f-20-301",
} | NOT_APPLICABLE  # fmt: skip


@pytest.mark.parametrize("row", [p for p in outside.params("client_redirects") if p.values[0]["id"] not in SPECIAL])
async def test_client(world: World, row: Row) -> None:
    start = row["base_url"]
    if row["kind"] == "auth":
        start = start.replace("://", "://caller:secret@", 1)
    if row["location_or_html"] is None:
        first = answer(row["status"])
    else:
        first = redirect(outside.location_bytes(row), row.get("status", 302))
    walked = await world.walk_script(start, first)
    hop = walked.hops[0]
    expected = row.get("expected_stop")
    following = row.get("expected_next_url")
    accepted = {SERIALIZED.get(following or "", following), *row.get("accept", ())}
    if row["id"] == "ah-inv-0":
        # Its policy: "http:/" is refused, or resolved to the root of the same host as the URL standard does.
        assert hop.next_url == "http://a.test/"
    elif expected == "invalid_location":
        assert walked.stop == "INVALID_LOCATION"
        assert len(world.asked) == 1
    elif expected == "unsupported_scheme":
        assert walked.stop == ("APP_LINK" if row["id"] in APP_SCHEMES else "UNSUPPORTED_SCHEME")
        assert walked.result.final_url == hop.next_url == urls.parse(row["location_or_html"]).href  # type: ignore[union-attr]
        assert len(world.asked) == 1
    elif expected in {"no_location", "empty_location"}:
        assert walked.stop == "LANDING"
        assert (hop.status, len(world.asked)) == (row.get("status", 302), 1)
    else:
        assert expected is None
        assert hop.next_url in accepted
        assert walked.stop == "LANDING"
        assert len(world.asked) == 2
        assert world.asked[1].method == "GET"
        assert world.asked[1].header("referer") is None
        if row.get("authorization") == "drop":
            assert world.asked[0].header("authorization") is not None
            assert world.asked[1].header("authorization") is None


def by_id(identity: str) -> Row:
    return next(row for row in outside.rows("client_redirects") if row["id"] == identity)


async def test_rq_02_the_limit_of_redirects(world: World) -> None:
    row = by_id("rq-02")

    async def count_down(request: Request, _wire: Wire) -> bytes:
        return redirect(f"/relative-redirect/{int(request.path.rpartition('/')[2]) - 1}")

    walked = await world.walk(row["base_url"], count_down, max_hops=row["limit"] + 1)
    assert walked.stop == "MAX_HOPS"
    assert walked.hops[-1].url.endswith("/45")
    assert len(world.asked) == row["expected_history"] + 1


async def test_rq_07_a_fragment_is_never_sent(world: World) -> None:
    row = by_id("rq-07")
    walked = await world.walk_script(row["base_url"])
    assert world.asked[0].path == row["expected_request_target"]
    assert b"hunter2" not in world.asked[0].raw
    assert [(p.name, p.value, p.in_fragment) for p in walked.result.params] == [
        ("view", "edit", True),
        ("token", "hunter2", True),
    ]


@pytest.mark.parametrize("identity", ["rq-12", "rq-14"])
async def test_cookies_come_back_as_they_were_set(world: World, identity: str) -> None:
    row = by_id(identity) if outside.rows("client_redirects") else {}
    first = answer(302, [("Location", "/cookies"), ("Set-Cookie", f"{row['expected_cookie']}; path=/")])
    await world.walk_script(row["base_url"], first)
    assert world.asked[1].header("cookie") == row["expected_cookie"]


async def test_rq_13_an_expired_cookie_is_deleted(world: World) -> None:
    expired = "foo=; expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/"
    await world.walk_script(
        "http://a.test/",
        answer(302, [("Location", "/2"), ("Set-Cookie", "foo=bar; path=/")]),
        answer(302, [("Location", "/3"), ("Set-Cookie", expired)]),
    )
    assert [request.header("cookie") for request in world.asked] == [None, "foo=bar", None]


async def test_rq_ref_1_what_is_reported_of_a_url_has_no_credentials(world: World) -> None:
    walked = await world.walk_script("http://u:p@example.com/path")
    assert walked.hops[0].url == "http://example.com/path"


async def test_ah_auth_url_credentials_of_a_location_are_used(world: World) -> None:
    row = by_id("ah-auth-url")
    walked = await world.walk_script("http://first:secret@example.com/", redirect(row["location_or_html"]))
    assert walked.hops[0].next_url == row["expected_next_url"]
    assert world.asked[1].header("authorization") == "Basic dXNlcjo="


async def test_un_body_the_body_of_a_redirect_is_ignored(world: World) -> None:
    body = b'<meta http-equiv="refresh" content="0;url=/wrong">'
    walked = await world.walk_script("http://a.test/", answer(302, [("Location", "/end")], body))
    assert [request.path for request in world.asked] == ["/", "/end"]
    assert walked.stop == "LANDING"


async def test_un_xorig_hosts_may_come_back(world: World) -> None:
    row = by_id("un-xorig")
    walked = await world.walk_script(row["chain"][0], *(redirect(url) for url in row["chain"][1:]))
    assert [hop.url for hop in walked.hops] == row["chain"]
    assert len(walked.hops) == row["expected_history"] + 1


async def test_go_eat_a_small_body_is_read_to_keep_the_connection(world: World) -> None:
    await world.walk_script("http://a.test/", answer(302, [("Location", "/foo")], b"x" * 2048))
    assert world.asked[0].connection == world.asked[1].connection


async def test_go_to_the_total_time_covers_all_hops_and_the_body(world: World) -> None:
    async def slow(request: Request, wire: Wire) -> bytes | None:
        if request.path == "/":
            return redirect("/slow")
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100\r\n\r\n<p>")
        await wire.gone()
        return None

    began = asyncio.get_running_loop().time()
    walked = await world.walk("http://a.test/", slow, total_timeout=0.4)
    assert asyncio.get_running_loop().time() - began < 5
    assert walked.stop == "TOTAL_TIMEOUT"
    assert len(walked.hops) == 2


async def test_pd_363_a_redirect_to_itself_ends_at_the_limit(world: World) -> None:
    async def itself(_request: Request, _wire: Wire) -> bytes:
        return redirect("http://a.test/redirect")

    walked = await world.walk("http://a.test/redirect", itself, max_hops=10)
    assert walked.stop == "MAX_HOPS"
    assert len(world.asked) == 10


async def test_wpt_f_20_twenty_redirects_to_the_same_url_are_no_loop(world: World) -> None:
    walked = await world.walk_script("http://a.test/r", *[redirect("http://a.test/r", 301)] * 20, max_hops=21)
    assert walked.stop == "LANDING"
    assert len(world.asked) == 21


async def test_sc_meta_long_a_long_delay_is_not_followed(world: World) -> None:
    row = by_id("sc-meta-long")
    walked = await world.walk_script(row["base_url"], page(row["location_or_html"]))
    assert walked.stop == "LANDING"
    assert len(world.asked) == 1


async def test_what_does_not_apply_is_known_by_name() -> None:
    """Fails when a row that was set aside is not there any more, or has become another kind."""
    kinds = {row["id"]: row["kind"] for row in outside.rows("client_redirects")}
    assert {kinds[identity] for identity in OTHER_METHODS} == {"method"}
    assert {kinds[identity] for identity in CALLERS_HEADERS} == {"headers"}
