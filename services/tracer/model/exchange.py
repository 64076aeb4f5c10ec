"""One request and what came of it, between the walk that decides and the engine that fetches."""

import enum
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.tracer.model.report import Failure, Timing


class BodyUse(enum.Enum):
    """READ: parse as HTML; DRAIN: discard up to 64 KiB or 50 ms to reuse the connection; SKIP: close."""

    READ = enum.auto()
    DRAIN = enum.auto()
    SKIP = enum.auto()


Headers = Mapping[bytes, Sequence[bytes]]
"""The headers of a response by lower-case name: the values in order, without surrounding white space."""


class Exchange(NamedTuple):
    """The outcome of one request, with or without a response."""

    status: int
    """0 if no complete set of headers came."""
    headers: Headers
    body: bytes
    """Decoded, and cut at the limit; empty unless its use was READ."""
    body_error: str
    """The UPPER_SNAKE reason why the body is incomplete; empty if it is complete or was not read."""
    failure: Failure | None
    """Why there is no complete set of headers, or why the hop took too long; None if there is a response."""
    request_left: bool
    """Whether any origin may have seen the request."""
    timing: Timing
    remote_address: str
    """The address and port that was dialled: the proxy's, where there is one."""
    http_version: str
    tls_version: str
    bytes_received: int
    bytes_sent: int
    forwarded: bool = False
    """Whether the proxy forwarded the request, so that the response may be its own."""
