"""HTTP: the click endpoint on the public port, and what operators and probes ask on the internal one."""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Protocol

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from libs.common.errors import ClicktraceError, Violation, invalid_request
from libs.common.observability import metrics, spans
from libs.common.process import logs
from libs.common.rpc.auth import require_operator
from services.gateway.clicks.ids import new_click_id
from services.gateway.http import errors
from services.gateway.http.forwarded import Network, visitor_address
from services.gateway.model import Answer, Click, Decision, PoolUpkeep
from services.gateway.urls.parameters import SplitUrl, ascii_octets, parse, take_offer, wire_safe

log = logs.get(__name__)

PATHS = ("/track-hit", "/functions/v1/track-hit")
"""The click endpoint, and the same under the path that the seed's links have."""

MAINTENANCE_PATH = "/functions/v1/ip-pool-maintenance"
"""What the seed's cron calls every minute; the services do that work by themselves, so it is for operators in doubt."""

OFFER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What an offer may be called."""

_ALLOW = "GET, HEAD"
_PREVIEWS = ("prefetch", "prerender", "preview")
_PREVIEW_HEADERS = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
_BEFORE_PATH = re.compile(r"^[a-z][a-z0-9+.-]*://[^/?#]*", re.IGNORECASE)
_HEADERS = {
    "Server": errors.SERVER,
    "Cache-Control": "no-store",
    # The landing page learns from which site the visitor came, never by which click.
    "Referrer-Policy": "strict-origin-when-cross-origin",
}


class Serves(Protocol):
    """The use case."""

    async def serve(self, click: Click) -> Decision:
        """Decides what a visitor is answered with."""
        ...


class PublicRoutes:
    """The public port: the click endpoint and nothing else."""

    def __init__(
        self,
        clicks: Serves,
        *,
        trusted: tuple[Network, ...],
        hops: int,
        max_headers_bytes: int,
        on_refusal: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        """Believes the `X-Forwarded-For` of the last `hops` proxies and of those in `trusted`, and of nobody else.

        A request whose headers have more than `max_headers_bytes` together is refused, and its connection ends.
        `on_refusal` is told why a request for a click was refused.
        """
        self._max_headers_bytes = max_headers_bytes
        self._clicks = clicks
        self._on_refusal = on_refusal
        self._trusted = trusted
        self._hops = hops

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request."""
        if sum(len(name) + len(value) for name, value in request.raw_headers) > self._max_headers_bytes:
            return errors.too_large()
        response = await self._answer(request)
        if request.body_exists:
            # What is left of a body nobody asked for must not be read as the next request.
            response.force_close()
        return response

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        target = _BEFORE_PATH.sub("", request.raw_path, count=1)
        split = SplitUrl.of(target)
        if split.base not in PATHS:
            return errors.plain(HTTPStatus.NOT_FOUND)
        if request.method not in ("GET", "HEAD"):
            return errors.plain(HTTPStatus.METHOD_NOT_ALLOWED, allow=_ALLOW)
        return await self._spanned(request, split)

    async def _spanned(self, request: web.BaseRequest, split: SplitUrl) -> web.Response:
        click_id = new_click_id()
        with spans.root(
            f"{request.method} /track-hit",
            # A visitor's own `traceparent` is not followed: strangers would choose what is sampled.
            of=click_id,
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": request.method,
                "http.route": split.base,
                "url.path": split.base,
                "url.scheme": request.scheme,
                "network.protocol.version": f"{request.version.major}.{request.version.minor}",
            },
        ) as span:
            try:
                response = await self._click(request, split.query or "", click_id, span)
            except Exception as error:
                spans.fail(span, type(error).__qualname__)
                raise
            span.set_attribute("http.response.status_code", response.status)
            return response

    async def _click(self, request: web.BaseRequest, query: str, click_id: str, span: trace.Span) -> web.Response:
        try:
            click = self._parse(request, query, click_id)
            span.set_attribute("clicktrace.click_id", click_id)
            with logs.about(click_id=click_id):
                decision = await self._clicks.serve(click)
        except ClicktraceError as error:
            self._on_refusal(error.reason)
            return errors.of_error(error)
        # Only now: what is no offer of ours may be anything.
        span.set_attributes({"clicktrace.offer": click.offer, "clicktrace.answer": decision.answer})
        if decision.reason:
            span.set_attribute("clicktrace.reason", decision.reason)
        headers = {**_HEADERS, "X-Request-Id": decision.click_id}
        if decision.answer is Answer.NO_CONTENT:
            return web.Response(status=HTTPStatus.NO_CONTENT, headers=headers)
        return web.Response(status=HTTPStatus.FOUND, headers={**headers, "Location": decision.location})

    def _parse(self, request: web.BaseRequest, query: str, click_id: str) -> Click:
        # aiohttp reads the target as UTF-8 and keeps other octets as surrogates; this gives the octets back.
        safe = wire_safe(query.encode("utf-8", "surrogateescape"))
        name, inbound = take_offer(parse(safe))
        if name is None or not OFFER_NAME.fullmatch(name):
            raise invalid_request([Violation("offer", "must name one offer")])
        return Click(
            click_id=click_id,
            offer=name,
            query=safe,
            inbound=inbound,
            address=visitor_address(
                request.remote or "", request.headers.getall("X-Forwarded-For", []), self._trusted, self._hops
            ),
            user_agent=_text(request.headers.get("User-Agent", "")),
            accept_language=_text(request.headers.get("Accept-Language", "")),
            start_time=datetime.now(UTC),
            started=asyncio.get_running_loop().time(),
            no_trace_reason=_no_trace_reason(request),
        )


def _no_trace_reason(request: web.BaseRequest) -> str:
    if request.method == "HEAD":
        return "HEAD"
    purposes = " ".join(request.headers.get(name, "") for name in _PREVIEW_HEADERS).lower()
    return "PREFETCH" if any(word in purposes for word in _PREVIEWS) else ""


def _text(header: str) -> str:
    """Returns a header that others can carry on: UTF-8 without controls, of sane length."""
    text = header.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if not text.isprintable():
        text = "".join(character for character in text if character.isprintable())
    return text[:1_024]


class MaintainsPool(Protocol):
    """The maintenance of the pool."""

    async def run(self, authorization: str) -> PoolUpkeep:
        """Does it now, if the pool lets an operator who shows this."""
        ...


class MaintainsLog(Protocol):
    """The maintenance of the click log."""

    async def once(self) -> int:
        """Does it now, and returns how many clicks were too old."""
        ...


class InternalRoutes:
    """The internal port: for probes and operators, never for visitors."""

    def __init__(
        self, is_ready: Callable[[], bool], *, pool: MaintainsPool, click_log: MaintainsLog, operator_token: str
    ) -> None:
        """Tells probes what `is_ready` says; maintains for operators who show `operator_token` (for all if empty)."""
        self._is_ready = is_ready
        self._pool = pool
        self._click_log = click_log
        self._token = operator_token

    def application(self) -> web.Application:
        """Returns the routes."""
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_post(MAINTENANCE_PATH, self._maintain)
        return application

    async def _metrics(self, request: web.Request) -> web.Response:
        # In a thread: with hundreds of offers it takes tens of milliseconds, and clicks are not to wait for it.
        body, content_type = await asyncio.to_thread(metrics.page, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type, "Server": errors.SERVER})

    async def _healthz(self, _request: web.Request) -> web.Response:
        return errors.plain(HTTPStatus.OK)

    async def _readyz(self, _request: web.Request) -> web.Response:
        if self._is_ready():
            return errors.plain(HTTPStatus.OK)
        return errors.plain(HTTPStatus.SERVICE_UNAVAILABLE, "not ready")

    async def _maintain(self, request: web.Request) -> web.Response:
        authorization = request.headers.get("Authorization", "")
        try:
            require_operator(_Shown(authorization), self._token)
            upkeep = await self._pool.run(authorization)
            deleted_clicks = await self._click_log.once()
        except ClicktraceError as error:
            return errors.for_operator(error)
        done = {**asdict(upkeep), "deleted_clicks": deleted_clicks}
        return web.json_response(text=f"{json.dumps(done)}\n", headers=errors.HEADERS)


class _Shown:
    """The Authorization header of a request, in the form in which gRPC calls carry it."""

    def __init__(self, authorization: str) -> None:
        self._authorization = authorization

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        """Returns the header, if there is one."""
        return [("authorization", self._authorization)] if self._authorization else []


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Unquoted(logging.Filter):
    """Keeps what was sent to us out of the log: aiohttp quotes what it cannot parse."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Takes the exception from a record if it quotes, and lets the record through."""
        if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
            record.exc_info = None
        return True


class PlainServer(web.Server):
    """A server whose errors are ours: no stack trace in the log for what strangers send, no echo in the answer."""

    def __init__(self, handler: Handler, *, header_timeout: float, max_url_bytes: int, max_header_bytes: int) -> None:
        """Serves requests with a handler, within limits in seconds and bytes.

        A connection that has sent no whole request `header_timeout` seconds after it was opened, or after its last
        answer, is closed.
        """
        # A visitor who leaves is not waited for any more; the trace is a task of its own and goes on.
        super().__init__(handler, handler_cancellation=True)
        self._header_timeout = header_timeout
        self._max_url_bytes = max_url_bytes
        self._max_header_bytes = max_header_bytes

    def __call__(self) -> web.RequestHandler:
        """Makes the protocol of one connection."""
        return _Protocol(
            self,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=self._header_timeout,
            max_line_size=self._max_url_bytes,
            max_field_size=self._max_header_bytes,
            # Addresses and queries of visitors have no business in the log.
            access_log=None,  # type: ignore[arg-type]  # the stubs do not know that there may be none
            # Nobody has business to send a body here; it is neither waited for nor unpacked.
            lingering_time=0.0,
            auto_decompress=False,
        )


class _Protocol(web.RequestHandler):
    """One connection."""

    __slots__ = ("_in_request_line",)

    _in_request_line: bool

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins a connection."""
        self._in_request_line = False
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Takes what came, with octets outside ASCII in a request line percent-encoded.

        Browsers encode them, curl and many scripts do not, and the parser would refuse the click.
        """
        if self._in_request_line or data.startswith((b"GET /", b"HEAD /")):
            line, end, rest = data.partition(b"\r\n")
            self._in_request_line = not end
            if not line.isascii():
                data = ascii_octets(line) + end + rest
        super().data_received(data)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,  # noqa: ARG002 - the names are aiohttp's
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - as above; it repeats what the stranger sent
    ) -> web.StreamResponse:
        """Answers a request that cannot be parsed, or that failed."""
        response = errors.of_bad_message(exc)
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("http.failed", path=request.path, exc_info=exc)
        else:
            log.info("http.refused", status=response.status, error=type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("a part of another answer is sent already")
        return response
