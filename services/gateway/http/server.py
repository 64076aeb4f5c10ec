"""HTTP server for the public: limits in time and bytes, and errors that repeat nothing of the request."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from libs.common.process import logs
from libs.common.process.values import Address
from services.gateway.http import errors
from services.gateway.urls.parameters import ascii_octets

log = logs.get(__name__)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Unquoted(logging.Filter):
    """Keeps the contents of requests out of the log: aiohttp quotes what it cannot parse."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Takes the exception from a record if it quotes, and lets the record through."""
        if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
            record.exc_info = None
        return True


class PlainServer(web.Server):
    """Serves without stack traces in the log for malformed requests, and without an echo in the response."""

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
        """Returns the handler of a new connection."""
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
        """Starts a connection."""
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


@asynccontextmanager
async def listening(runner: web.BaseRunner, address: Address) -> AsyncIterator[int]:
    """Serves on an address for the block and yields the bound port; leaving it lets running requests finish."""
    await runner.setup()
    try:
        site = web.TCPSite(runner, address.host, address.port, backlog=1_024)
        await site.start()
        port: int = runner.addresses[0][1]
        log.info("http.listening", address=f"{address.host}:{port}")
        yield port
    finally:
        await runner.cleanup()
