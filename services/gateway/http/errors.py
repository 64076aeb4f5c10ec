"""Renders errors as HTTP responses, and alone knows their form: plain text that repeats nothing of the request."""

from http import HTTPStatus

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from libs.common.errors import ClicktraceError, Code

_STATUS = {
    Code.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    Code.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Code.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    Code.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Code.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    Code.FAILED_PRECONDITION: HTTPStatus.CONFLICT,
    Code.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    Code.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
}
_TEXT = {
    "INVALID_REQUEST": 'The parameter `offer` must name one offer: 1 to 64 of a-z, A-Z, 0-9, ".", "_", "-".',
    "UNKNOWN_OFFER": "There is no such offer.",
}
SERVER = "clicktrace"
"""The `Server` header: it names no software and no version."""

HEADERS = {"Server": SERVER, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Headers of every response but those to clicks."""


def status_of(error: ClicktraceError) -> HTTPStatus:
    """Returns the HTTP status of an error."""
    return _STATUS.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)


def of_error(error: ClicktraceError) -> web.Response:
    """Renders an error; its message stays inside, because it may quote the request."""
    return plain(status_of(error), _TEXT.get(error.reason, ""))


def for_operator(error: ClicktraceError) -> web.Response:
    """Renders an error with its reason and its message, for operators."""
    status = _STATUS.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)
    response = plain(status, f"{error.reason}: {error.message}")
    if status is HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def plain(status: HTTPStatus, text: str = "", *, allow: str = "") -> web.Response:
    """Renders a status with a sentence of ours, or the phrase of the status."""
    headers = {**HEADERS, "Allow": allow} if allow else HEADERS
    return web.Response(status=status, text=f"{text or status.phrase}\n", headers=headers)


def too_large() -> web.Response:
    """Renders the refusal of a request that is too large; closes the connection."""
    return _last(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)


def of_bad_message(error: BaseException | None) -> web.Response:
    """Renders a request that cannot be parsed, or an internal error; closes the connection."""
    if isinstance(error, LineTooLong):
        return too_large()
    if isinstance(error, HttpProcessingError):
        return _last(HTTPStatus.BAD_REQUEST)
    return _last(HTTPStatus.INTERNAL_SERVER_ERROR)


def _last(status: HTTPStatus) -> web.Response:
    response = plain(status)
    response.force_close()
    response.headers["Connection"] = "close"
    return response
