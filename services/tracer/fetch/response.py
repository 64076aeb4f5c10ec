"""Takes a response apart as libcurl hands it over, within bounds, and decides when there is enough of it."""

from collections.abc import Callable

import pycurl

from services.tracer.model import Body, Headers

MAX_HEADER_BYTES = 256 * 1024
"""Of all header blocks of one hop together, 1xx answers included. One line ends at libcurl's 100 KiB."""

DRAIN_BYTES = 64 * 1024
"""How much of a body nobody needs is read to keep the connection for the next hop."""

# What a callback returns to make libcurl end the transfer with a write error.
_ABORT = -1

_BLANK = (b"\r\n", b"\n")

Plan = Callable[[int, Headers], Body]
"""Says what a body is good for, once the status and headers are known."""


class Collector:
    """Takes one response after the other from libcurl, within bounds, and knows what became of it."""

    __slots__ = (
        "_body",
        "_body_limit",
        "_header_bytes",
        "_in_block",
        "_lines",
        "_on_drain",
        "_plan",
        "_received",
        "body_cut",
        "complete",
        "headers",
        "headers_too_large",
        "malformed",
        "request_left",
        "status",
        "tls_version",
        "use",
    )

    def __init__(self, on_drain: Callable[[], None]) -> None:
        """Calls `on_drain` when a body turns out to be good for nothing but to be drained."""
        self._on_drain = on_drain

    def begin(self, plan: Plan, body_limit: int) -> None:
        """Gets ready for another response, and forgets the one before.

        `plan` is asked once, when the headers are whole. Of a body that is wanted up to `body_limit` decoded bytes are
        kept.
        """
        self._plan = plan
        self._body_limit = body_limit
        self._in_block = False
        self._lines: list[bytes] = []
        self._header_bytes = 0
        self._body: list[bytes] = []
        self._received = 0
        self.status = 0
        self.headers: dict[bytes, list[bytes]] = {}
        self.complete = False
        self.use = Body.SKIP
        self.request_left = False
        self.headers_too_large = False
        self.malformed = False
        self.body_cut = False
        self.tls_version = ""

    def forget(self) -> None:
        """Lets go of the plan, and with it of whoever made it."""
        self._plan = _skip

    @property
    def body(self) -> bytes:
        """What was kept of the body."""
        return b"".join(self._body)

    def before_request(self, *_addresses: object) -> int:
        """Notes that the connection stands, tunnel and TLS included, and the request is about to go out."""
        self.request_left = True
        return pycurl.PREREQFUNC_OK

    def header(self, line: bytes) -> int | None:
        """Takes a header line; a status line begins a block anew, because 1xx answers come before the real one."""
        size = len(line)
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            self.headers_too_large = True
            return _ABORT
        if size > 2 and self._in_block:
            self._lines.append(line)
            return None
        return self._edge_of_block(line)

    def _edge_of_block(self, line: bytes) -> int | None:
        if self.complete:
            # The end of trailers.
            return None
        if not self._in_block:
            self._in_block = True
            self._lines = []
            self.status = _status(line)
            if not self.status:
                self.malformed = True
                return _ABORT
        elif line not in _BLANK:
            self._lines.append(line)
        elif self.status >= 200 or self.status == 101:
            return self._end_of_headers()
        else:
            self._in_block = False
        return None

    def _end_of_headers(self) -> int | None:
        headers = self.headers
        for line in self._lines:
            name, _, value = line.partition(b":")
            name = name.strip().lower()
            if name in headers:
                headers[name].append(value.strip())
            else:
                headers[name] = [value.strip()]
        self.complete = True
        self.use = self._plan(self.status, self.headers)
        if self.use is Body.SKIP:
            return _ABORT
        if self.use is Body.DRAIN:
            self._on_drain()
        return None

    def body_part(self, part: bytes) -> int | None:
        """Takes decoded bytes of the body; ends the transfer when there are enough."""
        self._received += len(part)
        if self.use is Body.DRAIN:
            return _ABORT if self._received > DRAIN_BYTES else None
        self._body.append(part)
        if self._received < self._body_limit:
            return None
        self._body[-1] = part[: len(part) - (self._received - self._body_limit)]
        self.body_cut = True
        return _ABORT

    def debug(self, kind: int, data: bytes) -> None:
        """Takes libcurl's running commentary, only for the TLS version, which it tells in no other way."""
        if kind == pycurl.INFOTYPE_TEXT and data.startswith(b"SSL connection using "):
            self.tls_version = data.split(maxsplit=4)[3].decode("ascii", "replace")


def _skip(_status: int, _headers: Headers) -> Body:
    return Body.SKIP


def _status(line: bytes) -> int:
    """Returns the status of a status line, three digits (RFC 9112 4); 0 if it has none."""
    parts = line.split(maxsplit=2)
    return int(parts[1]) if len(parts) > 1 and len(parts[1]) == 3 and parts[1].isdigit() else 0
