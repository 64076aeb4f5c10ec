"""What a walk is asked to do."""

import enum
from dataclasses import dataclass, field
from typing import NamedTuple


class Protocol(enum.Enum):
    """How a client speaks to a proxy; the values are libcurl's URL schemes."""

    HTTP = "http"
    HTTPS = "https"
    SOCKS5 = "socks5h"


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
    """Where a walk must end."""

    max_hops: int = 20
    hop_timeout: float = 10.0
    """Seconds."""
    total_timeout: float = 60.0
    """Seconds."""
    max_body_bytes: int = 512 * 1024
    """Of the decoded body."""
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
    """When the lease on the proxy ends, in seconds of the monotonic clock."""
    call_deadline: float | None = None
    """When the caller stops waiting, in seconds of the monotonic clock."""
    hop_delay: float = 0.0
    """Seconds that a hop may wait to be reported in one message with later events."""
