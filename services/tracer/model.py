"""What a walk is asked, what it reports, and the words both use.

What is made anew for every walk and hop is a named tuple: as frozen as a dataclass, and made in a third of the time,
which is several percent of what a hop costs in all.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Body(enum.Enum):
    """What the body of a response is good for."""

    DRAIN = enum.auto()
    """Nothing; a short one is read to keep the connection."""
    READ = enum.auto()
    """It may be html that leads on."""
    SKIP = enum.auto()
    """Nothing, and the chain most likely ends here."""


class Protocol(enum.Enum):
    """How a client speaks to a proxy."""

    HTTP = "http"
    HTTPS = "https"
    SOCKS5 = "socks5h"


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
    """Whose fault a failure was."""

    PROXY = enum.auto()
    TARGET = enum.auto()
    CALLER = enum.auto()


@dataclass(frozen=True, slots=True)
class Proxy:
    """The proxy to leave through."""

    host: str
    """A name or an IP literal, the latter without brackets."""
    port: int
    protocol: Protocol = Protocol.HTTP
    username: str = ""
    password: str = field(default="", repr=False)
    provider: str = ""
    country: str = ""


class Limits(NamedTuple):
    """Where a walk must end; times in seconds, sizes in bytes."""

    max_hops: int = 20
    hop_timeout: float = 10.0
    total_timeout: float = 60.0
    max_body_bytes: int = 512 * 1024
    max_url_bytes: int = 64 * 1024


class Policy(NamedTuple):
    """What the walk says of itself and what it may do."""

    user_agent: str = ""
    """The tracer's own if empty."""
    accept_language: str = ""
    follow_html: bool = True
    allow_insecure_tls: bool = False


class TraceRequest(NamedTuple):
    """One walk to take."""

    trace_id: str
    url: str
    proxy: Proxy | None = None
    limits: Limits = Limits()
    policy: Policy = Policy()
    lease_deadline: float | None = None
    """When the walk must have left the proxy, by the monotonic clock."""
    call_deadline: float | None = None
    """When the caller stops waiting, by the monotonic clock."""
    hop_delay: float = 0.0
    """How many seconds a hop may wait to be reported together with what comes after it."""


class Parameter(NamedTuple):
    """One name and value, byte for byte as they stood in a URL."""

    name: str
    value: str
    in_fragment: bool = False
    no_equals: bool = False


class Timing(NamedTuple):
    """How long each phase of a hop took, in seconds from the start of the hop; None for a phase that did not happen."""

    total: float
    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None


@dataclass(frozen=True, slots=True)
class Fault:
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
    next_url: str
    kind: HopKind | None
    timing: Timing
    remote_address: str
    http_version: str
    tls_version: str
    bytes: int
    set_cookie_names: tuple[str, ...]
    error: str
    snippet: str
    params: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, and whose fault it was."""

    reason: str
    blame: Blame
    target_reached: bool
    message: str


class Result(NamedTuple):
    """How a walk ended; the last thing it reports."""

    final_url: str
    stop_reason: StopReason
    hops: int
    failure: Failure | None
    params: tuple[Parameter, ...]
    total_time: float
    bytes: int
    host: str = ""
    """The host of the final URL; empty where that is no URL of the web."""


Headers = Mapping[bytes, Sequence[bytes]]
"""The headers of a response by their lower-case names: values without surrounding white space, in their order."""


class Exchange(NamedTuple):
    """What came of one request, whether or not it came to a response."""

    status: int
    """0 if no status line came."""
    headers: Headers
    body: bytes
    """Decoded, and cut at the limit; empty if it was not wanted."""
    body_error: str
    """The UPPER_SNAKE reason why the body did not come whole; empty if it did, or was not wanted."""
    fault: Fault | None
    """Why no whole set of headers came, or why the hop took too long; None if there is a response."""
    request_left: bool
    """Whether any origin may have seen the request."""
    timing: Timing
    remote_address: str
    http_version: str
    tls_version: str
    bytes_received: int
    bytes_sent: int
