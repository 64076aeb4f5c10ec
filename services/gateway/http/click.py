"""The public port: the click endpoint, which reads a request into a click, and nothing else."""

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Protocol

from aiohttp import web
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from libs.common.errors import ClicktraceError, Violation, invalid_request
from libs.common.observability import spans
from libs.common.process import logs
from services.gateway.clicks.ids import new_click_id
from services.gateway.http import errors
from services.gateway.http.forwarded import Network, visitor_address
from services.gateway.model import Answer, Click, Decision
from services.gateway.urls.parameters import SplitUrl, parse, take_offer, wire_safe

PATHS = ("/track-hit", "/functions/v1/track-hit")
"""The click endpoint, and the same under the path that the seed's links have."""

OFFER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Names that an offer may have."""

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
        """Returns the answer to a visitor."""
        ...


class ClickEndpoint:
    """Serves the public port."""

    def __init__(
        self,
        clicks: Serves,
        *,
        trusted: tuple[Network, ...],
        hops: int,
        max_headers_bytes: int,
        on_refusal: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        """Trusts the `X-Forwarded-For` of the last `hops` proxies and of those in `trusted`, and of nobody else.

        A request whose headers have more than `max_headers_bytes` together is refused, and its connection ends.
        `on_refusal` receives the UPPER_SNAKE reason of each refused request.
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
    """Returns a header as UTF-8 without control characters, cut to a length that can be stored and forwarded."""
    text = header.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if not text.isprintable():
        text = "".join(character for character in text if character.isprintable())
    return text[:1_024]
