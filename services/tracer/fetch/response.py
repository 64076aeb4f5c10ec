"""Collects a response from libcurl's callbacks, within bounds, and ends the transfer once there is enough of it."""

from collections.abc import Callable

import pycurl

from services.tracer.model.exchange import BodyUse, Headers

MAX_HEADER_BYTES = 256 * 1024
"""Of all header blocks of one hop together, 1xx responses included; libcurl limits one line to 100 KiB."""

DRAIN_BYTES = 64 * 1024
"""Of an unneeded body, read so that the connection can be reused for the next hop."""

# Returned by a callback, this makes libcurl end the transfer with a write error.
_ABORT = -1

_ANNOUNCE_BODY = (b"content-length:", b"transfer-encoding:")

_BLANK = (b"\r\n", b"\n")

Plan = Callable[[int, Headers], BodyUse]
"""Decides from the status and the headers of a response what its body is used for."""


class Collector:
    """Collects one response after another from libcurl's callbacks."""

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
        "connect_body",
        "headers",
        "headers_too_large",
        "malformed",
        "request_left",
        "status",
        "tls_version",
        "tunnel_asked",
        "use",
    )

    def __init__(self, on_drain: Callable[[], None]) -> None:
        """Calls `on_drain` when a body is about to be drained."""
        self._on_drain = on_drain

    def begin(self, plan: Plan, body_limit: int) -> None:
        """Forgets the last response and prepares for the next.

        `plan` is called once, when the headers are complete. Of a body to READ, up to `body_limit` decoded bytes are
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
        self.use = BodyUse.SKIP
        self.request_left = False
        self.headers_too_large = False
        self.malformed = False
        self.body_cut = False
        self.tls_version = ""
        self.connect_body = False
        """Whether the answer to CONNECT announced a body."""
        self.tunnel_asked = False
        """Whether CONNECT was sent; only known while debug messages are on."""

    def forget(self) -> None:
        """Drops the reference to the plan, and through it to the walk."""
        self._plan = _skip

    @property
    def body(self) -> bytes:
        """The bytes of the body that were kept."""
        return b"".join(self._body)

    def before_request(self, *_addresses: object) -> int:
        """Records that tunnel and TLS are established and the request is about to be sent (PREREQFUNCTION)."""
        self.request_left = True
        return pycurl.PREREQFUNC_OK

    def header(self, line: bytes) -> int | None:
        """Takes a header line. A status line starts a new block, because 1xx responses precede the final one."""
        size = len(line)
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            self.headers_too_large = True
            return _ABORT
        if not self.request_left:
            # The answer to CONNECT: libcurl acts on it, and a target's response comes after `before_request` only.
            self.connect_body = self.connect_body or line[:18].lower().startswith(_ANNOUNCE_BODY)
            return None
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
        if self.use is BodyUse.SKIP:
            return _ABORT
        if self.use is BodyUse.DRAIN:
            self._on_drain()
        return None

    def body_part(self, part: bytes) -> int | None:
        """Takes decoded bytes of the body; ends the transfer once there are enough."""
        self._received += len(part)
        if self.use is BodyUse.DRAIN:
            return _ABORT if self._received > DRAIN_BYTES else None
        self._body.append(part)
        if self._received < self._body_limit:
            return None
        self._body[-1] = part[: len(part) - (self._received - self._body_limit)]
        self.body_cut = True
        return _ABORT

    def debug(self, kind: int, data: bytes) -> None:
        """Takes libcurl's debug messages: the only place where it tells the TLS version and that CONNECT was sent."""
        if kind == pycurl.INFOTYPE_TEXT and data.startswith(b"SSL connection using "):
            self.tls_version = data.split(maxsplit=4)[3].decode("ascii", "replace")
        elif kind == pycurl.INFOTYPE_HEADER_OUT and data.startswith(b"CONNECT "):
            self.tunnel_asked = True


def _skip(_status: int, _headers: Headers) -> BodyUse:
    return BodyUse.SKIP


def _status(line: bytes) -> int:
    """Returns the status of a status line, three digits (RFC 9112 4); 0 if it has none."""
    parts = line.split(maxsplit=2)
    return int(parts[1]) if len(parts) > 1 and len(parts[1]) == 3 and parts[1].isdigit() else 0
