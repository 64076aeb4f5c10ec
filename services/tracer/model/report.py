"""What a walk reports: its hops, and one result."""

import enum
from dataclasses import dataclass
from typing import NamedTuple


class StopReason(enum.Enum):
    """Why a walk ended; the names are those of the contract."""

    LANDING = enum.auto()
    MAX_HOPS = enum.auto()
    HOP_TIMEOUT = enum.auto()
    TOTAL_TIMEOUT = enum.auto()
    URL_TOO_LARGE = enum.auto()
    HEADERS_TOO_LARGE = enum.auto()
    CONFLICTING_LOCATION = enum.auto()
    INVALID_LOCATION = enum.auto()
    UNSUPPORTED_SCHEME = enum.auto()
    APP_LINK = enum.auto()
    REFUSED_TARGET = enum.auto()
    TLS_ERROR = enum.auto()
    PROXY_ERROR = enum.auto()
    PROTOCOL_ERROR = enum.auto()
    CONNECTION_ERROR = enum.auto()
    CANCELLED = enum.auto()
    LEASE_EXPIRING = enum.auto()
    INTERNAL = enum.auto()


class HopKind(enum.Enum):
    """How a response led on; a last hop has none."""

    LOCATION = enum.auto()
    REFRESH_HEADER = enum.auto()
    META_REFRESH = enum.auto()
    SCRIPT = enum.auto()


class Blame(enum.Enum):
    """Who caused a failure."""

    PROXY = enum.auto()
    TARGET = enum.auto()
    UNCLEAR = enum.auto()
    CALLER = enum.auto()


class Parameter(NamedTuple):
    """One name and value, byte for byte as they stood in a URL."""

    name: str
    value: str
    in_fragment: bool = False
    no_equals: bool = False


class Timing(NamedTuple):
    """Times from the start of the hop to the end of each phase, in seconds; None for a phase that did not happen."""

    total: float
    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a hop broke or a walk may not go on."""

    stop: StopReason
    reason: str
    """UPPER_SNAKE and stable."""
    blame: Blame
    message: str
    """For a human; without secrets and query values."""


class Hop(NamedTuple):
    """One request and its response."""

    number: int
    """The place in the walk, from 0."""
    url: str
    status: int
    """0 if no response came."""
    next_url: str
    kind: HopKind | None
    timing: Timing
    remote_address: str
    http_version: str
    tls_version: str
    bytes: int
    """Bytes received, as they were on the wire."""
    set_cookie_names: tuple[str, ...]
    error: str
    """The UPPER_SNAKE reason why the hop broke or its body is incomplete; empty if neither."""
    snippet: str
    """The html or script that led on, cut to 200 characters; empty for headers."""


class Result(NamedTuple):
    """How a walk ended; always the last thing that it reports."""

    final_url: str
    stop_reason: StopReason
    hops: int
    failure: Failure | None
    """None after LANDING and APP_LINK."""
    target_reached: bool
    """Whether any origin may have seen a request of the walk."""
    params: tuple[Parameter, ...]
    total_time: float
    """Seconds."""
    bytes: int
    """Bytes received and sent."""
    host: str = ""
    """The host of the final URL; empty if that is not an http or https URL."""
    final_status: int = 0
    """The status of the last hop's response; 0 if it got none."""
    forwarded: bool = False
    """Whether that response came from a proxy that forwards, so that it may be the proxy's own."""
    challenged: bool = False
    """Whether that response carries the marker of a challenge that keeps robots out."""
