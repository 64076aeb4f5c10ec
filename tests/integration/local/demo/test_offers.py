"""Proves that the demo chains are walked as a browser walks them, and break where they are meant to."""

import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest

from local.demo import offers
from local.demo.names import tracking_url
from local.demo.proxy import Credentials, Listener, http_proxy
from tests.integration.local.demo.test_proxy import BASIC, resolve

SOURCES = ("127.77.9.1", "127.77.9.2")


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with offers.serve("127.0.0.1", 0, slow_hop=0.05) as listening:
        yield listening


@asynccontextmanager
async def proxy(source: str) -> AsyncIterator[Listener]:
    credentials = Credentials("demo", "pass:word")
    async with http_proxy("127.0.0.1", 0, source=source, credentials=credentials, resolver=resolve) as listener:
        yield listener


class Walker:
    """A client with cookies that follows what leads on, one request at a time; with a proxy or without."""

    def __init__(self, session: aiohttp.ClientSession, listener: Listener, *, keeps_cookies: bool = True) -> None:
        self._session = session
        self._proxy = f"http://{listener.host}:{listener.port}"
        self._cookies: dict[str, str] = {}
        self._keeps_cookies = keeps_cookies
        self.statuses: list[int] = []
        self.kinds: list[str] = []
        self.url = ""
        self.page = ""

    async def walk(self, url: str) -> str:
        """Follows a chain from `url` and returns where it ends."""
        while url:
            self.url = url
            url = await self._step(url)
        return self.url

    async def _step(self, url: str) -> str:
        host = urlsplit(url).hostname or ""
        headers = {"Proxy-Authorization": BASIC}
        if host in self._cookies:
            headers["Cookie"] = self._cookies[host]
        async with self._session.get(url, proxy=self._proxy, headers=headers, allow_redirects=False) as response:
            self.page = await response.text()
        self.statuses.append(response.status)
        for value in response.headers.getall("Set-Cookie", []):
            if self._keeps_cookies:
                self._cookies[host] = "; ".join(
                    f"{name}={morsel.value}" for name, morsel in SimpleCookie(value).items()
                )
        for kind, found in (
            ("location", response.headers.get("Location", "")),
            ("refresh", response.headers.get("Refresh", "").partition("url=")[2]),
            ("meta", html.unescape("".join(re.findall(r'http-equiv="refresh" content="0; url=([^"]*)"', self.page)))),
        ):
            if found:
                self.kinds.append(kind)
                return found
        return ""


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as opened:
        yield opened


def parameters(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


async def test_the_demo_chain_has_every_kind_of_hop_and_ends_with_a_clickid(
    port: int, session: aiohttp.ClientSession
) -> None:
    async with proxy(SOURCES[0]) as listener:
        walker = Walker(session, listener)
        landing = await walker.walk(tracking_url("demo", port) + "?gclid=a%20b+c&x")
    assert walker.statuses == [302, 302, 307, 200, 200, 200]
    assert walker.kinds == ["location", "location", "location", "refresh", "meta"]
    assert landing.startswith(
        f"http://shop.demo.localhost:{port}/landing?gclid=a%20b+c&x&exit_ip={SOURCES[0]}&clickid="
    )
    assert re.fullmatch("[0-9a-f]{16}", parameters(landing)["clickid"])


async def test_every_walk_gets_its_own_clickid_and_its_own_exit_address(
    port: int, session: aiohttp.ClientSession
) -> None:
    landings = []
    for source in SOURCES:
        async with proxy(source) as listener:
            landings.append(parameters(await Walker(session, listener).walk(tracking_url("demo", port))))
    assert [landing["exit_ip"] for landing in landings] == list(SOURCES)
    assert landings[0]["clickid"] != landings[1]["clickid"]


async def test_without_the_cookie_the_chain_is_a_dead_end(port: int, session: aiohttp.ClientSession) -> None:
    async with proxy(SOURCES[0]) as listener:
        walker = Walker(session, listener, keeps_cookies=False)
        await walker.walk(tracking_url("demo", port))
    assert walker.statuses == [302, 302, 403]


async def test_the_landing_page_tells_who_walked_from_who_visits(port: int, session: aiohttp.ClientSession) -> None:
    async with proxy(SOURCES[0]) as walking, proxy(SOURCES[1]) as visiting:
        landing = await Walker(session, walking).walk(tracking_url("demo", port))
        visitor = Walker(session, visiting)
        await visitor.walk(landing)
    assert visitor.statuses == [200]
    assert f"walked from</th><td><strong>{SOURCES[0]}</strong>" in visitor.page
    assert f"asked for from</th><td>{SOURCES[1]}<" in visitor.page
    assert parameters(landing)["clickid"] in visitor.page


async def test_the_landing_page_runs_nothing_of_what_it_shows(port: int, session: aiohttp.ClientSession) -> None:
    async with proxy(SOURCES[0]) as listener:
        walker = Walker(session, listener)
        await walker.walk(f"http://shop.demo.localhost:{port}/landing?a=%3Cscript%3E&clickid=%3Cb%3E&e=")
    assert "<script>" not in walker.page
    assert "&lt;script&gt;" in walker.page
    assert "<b>" not in walker.page


async def test_the_slow_chain_takes_three_delays(port: int, session: aiohttp.ClientSession) -> None:
    async with proxy(SOURCES[0]) as listener:
        walker = Walker(session, listener)
        landing = await walker.walk(tracking_url("demo-slow", port) + "?gclid=1")
    assert walker.statuses == [302, 302, 302, 200]
    assert list(parameters(landing)) == ["gclid", "exit_ip", "clickid"]


def test_the_slow_chain_is_slower_than_a_visitor_waits_and_no_hop_times_out() -> None:
    delays = [step.delay for step in offers.chains()["demo-slow"]]
    assert sum(delays) > 12
    assert max(delays) < 10


async def test_the_broken_chain_breaks_off_after_two_hops(port: int, session: aiohttp.ClientSession) -> None:
    async with proxy(SOURCES[0]) as listener:
        walker = Walker(session, listener)
        with pytest.raises(aiohttp.ClientConnectionError):
            await walker.walk(tracking_url("demo-broken", port))
    assert walker.statuses == [302, 302]
    assert walker.url.startswith("http://hop.partner.localhost:")


async def test_a_step_lives_on_its_own_host_only(port: int, session: aiohttp.ClientSession) -> None:
    async with proxy(SOURCES[0]) as listener:
        for url, status in (
            (f"http://shop.demo.localhost:{port}/go/demo", 404),
            (f"http://ads.demo.localhost:{port}/nothing", 404),
            (f"http://127.0.0.1:{port}/", 200),
        ):
            walker = Walker(session, listener)
            await walker.walk(url)
            assert walker.statuses == [status]
