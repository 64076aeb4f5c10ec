"""The demo offer network: redirect chains over several host names, of every kind that real ones are made of.

All hosts live on one port and end in `.localhost`, which browsers, curl and the demo proxies take to this machine. A
chain is data: each `Step` has a host, a path and a way to answer; the query travels along byte for byte, and steps add
to it, as click networks do.
"""

import asyncio
import secrets
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from aiohttp import web

from local.demo import landing
from local.demo.names import ENTRANCE, entrance_path, tracking_url

LANDING_HOST = "shop.demo.localhost"
_LANDING_PATH = "/landing"
_REMEMBERED = 10_000
_COOKIE = "tracknet_visit"


@dataclass(frozen=True)
class Visit:
    """A request to one step of a chain, and where that step leads."""

    request: web.Request
    next_url: str
    network: "Network"


Answer = Callable[[Visit], web.Response]


@dataclass(frozen=True)
class Step:
    """One hop: where it lives, how it answers, what it adds to the query, and how many seconds it takes."""

    host: str
    path: str
    answer: Answer
    adds: tuple[str, ...] = ()
    delay: float = 0.0


def moved(status: int) -> Answer:
    """Answers with a Location."""
    return lambda visit: web.Response(status=status, headers={"Location": visit.next_url})


def set_cookie(visit: Visit) -> web.Response:
    """Answers with a Location, and a cookie that the next step asks for."""
    response = moved(302)(visit)
    response.set_cookie(_COOKIE, visit.network.new_visit(), path="/", httponly=True)
    return response


def need_cookie(visit: Visit) -> web.Response:
    """Redirects a client that sends the cookie back; anyone else is in a dead end."""
    if not visit.network.knows_visit(visit.request.cookies.get(_COOKIE, "")):
        return web.Response(status=403, text="This chain goes on for those who keep cookies.\n")
    return moved(307)(visit)


def refresh_header(visit: Visit) -> web.Response:
    """Leads on by a Refresh header."""
    return web.Response(text="One moment.\n", headers={"Refresh": f"0;url={visit.next_url}"})


def meta_refresh(visit: Visit) -> web.Response:
    """Leads on by a meta element, with the URL escaped as html wants it."""
    page = (
        "<!doctype html><html><head><title>One moment</title>"
        f'<meta http-equiv="refresh" content="0; url={escape(visit.next_url)}"></head>'
        "<body>One moment.</body></html>"
    )
    return web.Response(text=page, content_type="text/html")


def hang_up(visit: Visit) -> web.Response:
    """Drops the connection without an answer."""
    if visit.request.transport:
        visit.request.transport.abort()
    return web.Response(status=500)


def chains(slow_hop: float = 4.5) -> dict[str, Sequence[Step]]:
    """Returns the chain of each offer; each of the three slow hops takes `slow_hop` seconds."""
    slow = moved(302)
    return {
        "demo": (
            Step(ENTRANCE, entrance_path("demo"), moved(302)),
            Step("click.tracknet.localhost", "/c", set_cookie),
            Step("click.tracknet.localhost", "/c/check", need_cookie),
            Step("geo.router.localhost", "/route", refresh_header, adds=("exit_ip",)),
            Step("hop.partner.localhost", "/out", meta_refresh, adds=("clickid",)),
        ),
        "demo-slow": (
            Step(ENTRANCE, entrance_path("demo-slow"), slow, delay=slow_hop),
            Step("click.tracknet.localhost", "/slow", slow, delay=slow_hop),
            Step("geo.router.localhost", "/slow", slow, adds=("exit_ip", "clickid"), delay=slow_hop),
        ),
        "demo-broken": (
            Step(ENTRANCE, entrance_path("demo-broken"), moved(302)),
            Step("click.tracknet.localhost", "/broken", moved(302)),
            Step("hop.partner.localhost", "/broken", hang_up),
        ),
    }


class Network:
    """Answers for every host of the network, and remembers which address walked for which clickid."""

    def __init__(self, port: int, offers: Mapping[str, Sequence[Step]]) -> None:
        self._port = port
        self._offers = offers
        self._steps = {
            (step.host, step.path): (step, self._url(following))
            for steps in offers.values()
            for step, following in zip(steps, [*steps[1:], None], strict=True)
        }
        self._walks: OrderedDict[str, str] = OrderedDict()
        self._visits: OrderedDict[str, str] = OrderedDict()

    async def handle(self, request: web.Request) -> web.Response:
        """Answers one request to whichever host it names."""
        host = request.host.partition(":")[0].lower()
        if (host, request.path) == (LANDING_HOST, _LANDING_PATH):
            return self._land(request)
        if (host, request.path) in self._steps:
            step, next_url = self._steps[host, request.path]
            await asyncio.sleep(step.delay)
            query = "&".join(filter(None, [_raw_query(request), *(self._parameter(add, request) for add in step.adds)]))
            return step.answer(Visit(request, f"{next_url}?{query}" if query else next_url, self))
        if request.path == "/":
            urls = {offer: tracking_url(offer, self._port) for offer in self._offers}
            return web.Response(text=landing.index(urls), content_type="text/html", headers=landing.HEADERS)
        return web.Response(status=404, text="There is no such page in the demo network.\n")

    def new_visit(self) -> str:
        """Returns the value of a new cookie."""
        value = secrets.token_hex(8)
        _remember(self._visits, value, "")
        return value

    def knows_visit(self, value: str) -> bool:
        """Returns whether a cookie was set by this network."""
        return value in self._visits

    def _land(self, request: web.Request) -> web.Response:
        page = landing.landing(
            _raw_query(request),
            walked_from=self._walks.get(request.query.get("clickid", "")),
            visited_from=_address(request),
        )
        return web.Response(text=page, content_type="text/html", headers=landing.HEADERS)

    def _parameter(self, name: str, request: web.Request) -> str:
        if name == "exit_ip":
            return f"exit_ip={quote(_address(request))}"
        clickid = secrets.token_hex(8)
        _remember(self._walks, clickid, _address(request))
        return f"clickid={clickid}"

    def _url(self, step: Step | None) -> str:
        host, path = (step.host, step.path) if step else (LANDING_HOST, _LANDING_PATH)
        return f"http://{host}:{self._port}{path}"


@asynccontextmanager
async def serve(host: str, port: int, slow_hop: float = 4.5) -> AsyncIterator[int]:
    """Serves the network on `host:port` until the block ends; port 0 takes a free one. Yields the port.

    Each hop of `demo-slow` takes `slow_hop` seconds.
    """
    # The chains name their own port, so it has to be known before the first request.
    listener = socket.create_server((host, port), backlog=512)
    real_port: int = listener.getsockname()[1]
    app = web.Application()
    app.router.add_get("/{path:.*}", Network(real_port, chains(slow_hop)).handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield real_port
    finally:
        await runner.cleanup()
        listener.close()


def _remember(memory: OrderedDict[str, str], key: str, value: str) -> None:
    memory[key] = value
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)


def _raw_query(request: web.Request) -> str:
    return request.raw_path.partition("?")[2]


def _address(request: web.Request) -> str:
    return request.remote or "unknown"
