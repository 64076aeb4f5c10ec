"""Serves the console over HTTP: pages, a stream of events, and the requests of the page. Operators only."""

import asyncio
import ipaddress
import json
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Protocol

from aiohttp import web

from libs.common.errors import ClicktraceError, Violation, invalid_request
from libs.common.process import logs
from services.gateway.clicks.rate_limit import TokenBuckets
from services.gateway.console import page, static_files, waterfall
from services.gateway.console.board import Board
from services.gateway.console.markup import Html
from services.gateway.console.model import SizeAnswer, SizeQuestion
from services.gateway.console.session import COOKIE, LIFETIME_SECONDS, Sessions
from services.gateway.http import errors

log = logs.get(__name__)

_KEEPALIVE_SECONDS = 10.0
_WRITE_SECONDS = 30.0
_SIGN_INS_PER_SECOND, _SIGN_IN_BURST = 0.2, 5.0
_CLICK_ID = re.compile(r"[0-9a-f]{32}")
_LOCAL_NAME = re.compile(r"(?:[a-z0-9-]+\.)*localhost", re.IGNORECASE)
_HEADERS = {
    "Server": errors.SERVER,
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Estimates(Protocol):
    """Computes pool sizes."""

    async def estimate(self, question: SizeQuestion) -> SizeAnswer:
        """Returns the number of IPs that a load needs."""
        ...


class Trials(Protocol):
    """Starts traces."""

    async def start(self, offer_name: str) -> str:
        """Starts a trace of an offer, and returns the id of its click."""
        ...


class ConsoleRoutes:
    """Adds the console to an HTTP application."""

    def __init__(
        self, board: Board, estimates: Estimates, trials: Trials, *, sessions: Sessions, jaeger_url: str
    ) -> None:
        """Every part is owned by the caller; `jaeger_url` is where OpenTelemetry traces are shown, empty if nowhere."""
        self._board = board
        self._estimates = estimates
        self._trials = trials
        self._sessions = sessions
        self._jaeger_url = jaeger_url
        self._files = FILES
        self._static = f"/console/static/{VERSION}"
        self._sign_ins = TokenBuckets(capacity=10_000, clock=asyncio.get_running_loop().time)

    def add_to(self, application: web.Application) -> None:
        """Adds the routes to an application."""
        router = application.router
        router.add_get("/", self._root)
        router.add_get("/console/", self._root)
        router.add_get("/console/static/{version}/{path:.+}", self._static_file)
        router.add_post("/console/session", self._sign_in)
        router.add_post("/console/session/end", self._sign_out)
        router.add_get("/console", self._guarded(self._page))
        router.add_get("/console/events", self._guarded(self._events))
        router.add_get("/console/clicks", self._guarded(self._find))
        router.add_get("/console/clicks/{click_id}", self._guarded(self._click))
        router.add_get("/console/estimate", self._guarded(self._estimate))
        router.add_post("/console/traces", self._guarded(self._trace))
        application.on_shutdown.append(self._close)

    async def _close(self, _application: web.Application) -> None:
        self._board.close()

    def _guarded(self, handler: Handler) -> Handler:
        """Wraps a handler: refuses requests of other sites and of anybody but operators, and renders errors."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            if self._is_foreign(request):
                return _foreign()
            if not self._is_operator(request):
                if request.path == "/console":
                    return _html(page.sign_in(static=self._static), HTTPStatus.UNAUTHORIZED)
                return errors.plain(HTTPStatus.UNAUTHORIZED, "Open /console and give the operator token.")
            try:
                return await handler(request)
            except ClicktraceError as error:
                return _problem(error)

        return guarded

    def _is_operator(self, request: web.Request) -> bool:
        if not self._sessions.are_needed:
            return True
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._sessions.is_token(given.strip())
        return self._sessions.is_good(request.cookies.get(COOKIE, ""))

    def _is_foreign(self, request: web.Request) -> bool:
        """Returns whether another site may have made a browser send this request.

        A request that changes something must come from the console's own page. Without an operator token, only IP
        addresses and localhost are accepted as host, because any DNS name may point at this machine (DNS rebinding).
        """
        if not self._sessions.are_needed and not _is_plain_host(request.host):
            return True
        if request.method == "GET":
            return False
        site = request.headers.get("Sec-Fetch-Site")
        if site is not None:
            return site not in ("same-origin", "none")
        origin = request.headers.get("Origin")
        return origin is not None and origin != f"{request.scheme}://{request.host}"

    async def _root(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(status=HTTPStatus.FOUND, headers={**_HEADERS, "Location": "/console"})

    async def _static_file(self, request: web.Request) -> web.StreamResponse:
        file = self._files.get(request.match_info["path"])
        if file is None:
            return errors.plain(HTTPStatus.NOT_FOUND)
        current = request.match_info["version"] == VERSION
        keep = "public, max-age=31536000, immutable" if current else "no-store"
        headers = {**_HEADERS, "Cache-Control": keep}
        response = web.Response(body=file.content, content_type=file.content_type, charset="utf-8", headers=headers)
        response.enable_compression()
        return response

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        if self._is_foreign(request):
            return _foreign()
        address = request.remote or ""
        if not self._sign_ins.take(address, rate=_SIGN_INS_PER_SECOND, burst=_SIGN_IN_BURST):
            text = "Too many tries. Wait a few seconds."
            return _html(page.sign_in(static=self._static, problem=text), HTTPStatus.TOO_MANY_REQUESTS)
        form = await request.post()
        if not self._sessions.is_token(str(form.get("token", ""))):
            log.warning("console.wrong_token", address=request.remote)
            text = "That is not the operator token."
            return _html(page.sign_in(static=self._static, problem=text), HTTPStatus.FORBIDDEN)
        # Only wrong tokens count.
        self._sign_ins.give_back(address, burst=_SIGN_IN_BURST)
        response = web.Response(status=HTTPStatus.SEE_OTHER, headers={**_HEADERS, "Location": "/console"})
        response.set_cookie(
            COOKIE,
            self._sessions.begin(),
            max_age=LIFETIME_SECONDS,
            path="/console",
            httponly=True,
            samesite="Strict",
            secure=request.secure,
        )
        return response

    async def _sign_out(self, request: web.Request) -> web.StreamResponse:
        if self._is_foreign(request):
            return _foreign()
        response = web.Response(status=HTTPStatus.SEE_OTHER, headers={**_HEADERS, "Location": "/console"})
        response.del_cookie(COOKIE, path="/console", httponly=True, samesite="Strict")
        return response

    async def _page(self, _request: web.Request) -> web.StreamResponse:
        return _html(
            page.console(
                self._board.page_parts(),
                static=self._static,
                version=VERSION,
                asks_token=self._sessions.are_needed,
            )
        )

    async def _events(self, request: web.Request) -> web.StreamResponse:
        headers = {**_HEADERS, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        with self._board.viewer() as viewer:
            response = web.StreamResponse(headers=headers)
            try:
                await response.prepare(request)
                await response.write(b"retry: 1000\n\n")
                while not viewer.is_over:
                    frames = await viewer.take(_KEEPALIVE_SECONDS)
                    async with asyncio.timeout(_WRITE_SECONDS):
                        # A comment detects a closed connection, and tells the page that the stream is alive.
                        await response.write(frames or b": still here\n\n")
            except (ConnectionError, TimeoutError):
                pass  # the browser has gone, or does not read
        return response

    async def _find(self, request: web.Request) -> web.StreamResponse:
        click_id = request.query.get("id", "").strip().lower()
        path = f"/console/clicks/{click_id}" if _CLICK_ID.fullmatch(click_id) else "/console#clicks"
        return web.Response(status=HTTPStatus.SEE_OTHER, headers={**_HEADERS, "Location": path})

    async def _click(self, request: web.Request) -> web.StreamResponse:
        click_id = request.match_info["click_id"]
        record = await self._board.find(click_id) if _CLICK_ID.fullmatch(click_id) else None
        if record is None:
            return errors.plain(HTTPStatus.NOT_FOUND, "There is no click of this id in the log.")
        fragment = waterfall.click(record, jaeger_url=self._jaeger_url)
        if "fragment" in request.query:
            return _html(fragment)
        return _html(page.one_click(fragment, static=self._static))

    async def _estimate(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        answer = await self._estimates.estimate(
            SizeQuestion(
                country=query.get("country", ""),
                clicks_per_second=_number(query.get("clicks_per_second"), "clicks_per_second"),
                trace_time=_number(query.get("trace_time"), "trace_time"),
                cooldown=_number(query.get("cooldown"), "cooldown"),
                target_loss=_number(query.get("target_loss"), "target_loss"),
                added_ips=int(_number(query.get("added_ips"), "added_ips") or 0),
            )
        )
        return _json({name: getattr(answer, name) for name in SizeAnswer.__slots__})

    async def _trace(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        click_id = await self._trials.start(str(form.get("offer", "")))
        path = f"/console/clicks/{click_id}"
        if "application/json" in request.headers.get("Accept", ""):
            return _json({"click_id": click_id}, HTTPStatus.CREATED)
        return web.Response(status=HTTPStatus.SEE_OTHER, headers={**_HEADERS, "Location": path})


VERSION, FILES = static_files.load()


def _foreign() -> web.Response:
    text = (
        "The console takes no requests of other sites; without an operator token it answers under an address or"
        " localhost alone."
    )
    return errors.plain(HTTPStatus.FORBIDDEN, text)


def _is_plain_host(host: str) -> bool:
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    if _LOCAL_NAME.fullmatch(name):
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _number(text: str | None, field: str) -> float | None:
    if text is None or text == "":
        return None
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not -1e9 <= number <= 1e9:
        raise invalid_request([Violation(field, "must be a number")])
    return number


def _html(html: Html, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(text=html, content_type="text/html", charset="utf-8", status=status, headers=_HEADERS)


def _json(value: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(text=json.dumps(value), content_type="application/json", status=status, headers=_HEADERS)


def _problem(error: ClicktraceError) -> web.Response:
    """Renders an error with its reason, message and violations, which operators may see."""
    violations = [{"field": one.field, "description": one.description} for one in error.violations]
    body = {"reason": error.reason, "message": error.message, "violations": violations}
    return _json(body, errors.status_of(error))
