"""The types of the gateway: offers, clicks, walks, and the record of what was decided.

What every click makes anew is a named tuple: as frozen as a dataclass, and made and changed in a third of the time.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, NamedTuple

from annotated_types import Interval

from libs.common.enums import OpenEnum

USUAL_IDENTITY_PARAMS = ("gclid", "gbraid", "wbraid", "fbclid", "msclkid", "ttclid")
"""The click identifiers of the large ad networks: the identity parameters of an offer that names no others."""

MAX_WAIT_SECONDS = (0.1, 60.0)
"""The range of `Offer.max_wait`, in seconds."""
JOIN_WINDOW_SECONDS = (0.0, 86_400.0)
"""The range of `Offer.join_window`, in seconds."""
DEFAULT_JOIN_WINDOW_SECONDS = 3_600.0
TURNED_AWAY = ("TRACER_BUSY", "SHUTTING_DOWN")
"""The reasons with which a tracer refuses a call before it does anything, so that another one may be asked."""
ERROR_STATUS = (400, 599)
"""The range of `Offer.landing_statuses`."""
WEIGHT = (1, 1_000)
"""The range of `Offer.weight`."""


class Mode(enum.StrEnum):
    """What a click on an offer does."""

    TRACE = "TRACE"
    BEACON = "BEACON"
    REDIRECT_ONLY = "REDIRECT_ONLY"


class MergePolicy(enum.StrEnum):
    """Which value wins where the click and the landing page have the same parameter."""

    INBOUND_WINS = "INBOUND_WINS"
    TRACED_WINS = "TRACED_WINS"
    APPEND = "APPEND"


class FallbackPolicy(enum.StrEnum):
    """Which fallback is tried first."""

    TRACKING_URL = "TRACKING_URL"
    LAST_LANDING = "LAST_LANDING"


class BlockedLanding(enum.StrEnum):
    """Where a visitor goes when the landing page keeps robots out."""

    USE = "USE"
    FALLBACK = "FALLBACK"


class UserAgentPolicy(enum.StrEnum):
    """The User-Agent that the tracer sends to origins."""

    TRACER = "TRACER"
    VISITOR = "VISITOR"


class ClickStatus(OpenEnum):
    """The state of a click."""

    PENDING = "PENDING"
    TRACING = "TRACING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    NOT_TRACED = "NOT_TRACED"
    ABANDONED = "ABANDONED"


class Answer(OpenEnum):
    """The kind of answer that a visitor got."""

    LANDING = "LANDING"
    FALLBACK = "FALLBACK"
    NO_CONTENT = "NO_CONTENT"


class Origin(OpenEnum):
    """Who brought a parameter of the answer."""

    INBOUND = "INBOUND"
    TRACED = "TRACED"
    OFFER = "OFFER"


class Outcome(OpenEnum):
    """How the use of a lease ended."""

    SUCCESS = "SUCCESS"
    PROXY_FAILURE = "PROXY_FAILURE"
    TARGET_FAILURE = "TARGET_FAILURE"
    UNCLEAR_FAILURE = "UNCLEAR_FAILURE"
    CANCELLED = "CANCELLED"
    UNUSED = "UNUSED"


class Blame(OpenEnum):
    """Who made a walk fail, by evidence."""

    PROXY = "PROXY"
    TARGET = "TARGET"
    UNCLEAR = "UNCLEAR"
    CALLER = "CALLER"


@dataclass(frozen=True, slots=True)
class Rename:
    """How a traced parameter gets another name."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer: where its chain starts, and how its clicks are served.

    Its document in the database has these fields by these names; an older build keeps those that it does not know.
    """

    name: str
    tracking_url: str
    country: str = ""
    max_wait: Annotated[float, Interval(ge=MAX_WAIT_SECONDS[0], le=MAX_WAIT_SECONDS[1])] | None = None
    """How long a visitor waits, in seconds; None takes the default of the gateway."""
    mode: Mode = Mode.TRACE
    merge_policy: MergePolicy = MergePolicy.INBOUND_WINS
    allow_params: tuple[str, ...] = ()
    deny_params: tuple[str, ...] = ()
    rename_params: tuple[Rename, ...] = ()
    identity_params: tuple[str, ...] = ()
    fallback_url: str = ""
    fallback_policy: FallbackPolicy = FallbackPolicy.TRACKING_URL
    landing_hosts: tuple[str, ...] = ()
    landing_statuses: tuple[int, ...] = ()
    """The statuses from 400 on with which a page is a landing all the same."""
    blocked_landing: BlockedLanding = BlockedLanding.USE
    user_agent_policy: UserAgentPolicy = UserAgentPolicy.TRACER
    allow_app_links: bool = False
    weight: Annotated[int, Interval(ge=WEIGHT[0], le=WEIGHT[1])] = 1
    join_window: Annotated[float, Interval(ge=JOIN_WINDOW_SECONDS[0], le=JOIN_WINDOW_SECONDS[1])] = (
        DEFAULT_JOIN_WINDOW_SECONDS
    )
    """How long the same click joins an earlier one, in seconds."""
    webhook_url: str = ""
    disabled: bool = False
    create_time: datetime | None = None
    update_time: datetime | None = None
    etag: str = ""
    """Differs after every change of the stored offer; empty before it is stored."""

    @property
    def identity_names(self) -> tuple[str, ...]:
        """The parameters that tell one click from another."""
        return self.identity_params or USUAL_IDENTITY_PARAMS


class Parameter(NamedTuple):
    """One name and value of a query, byte for byte as on the wire, still percent-encoded."""

    name: str
    value: str
    no_equals: bool = False
    """Whether there was no "=" behind the name."""


class ParameterSource(NamedTuple):
    """Where a parameter of the answer came from."""

    name: str
    value: str
    origin: Origin
    hop_index: int
    """The hop that first had it with this value; -1 if none did."""
    rule: str
    """The rule that decided, in words."""


class Click(NamedTuple):
    """A click as its request describes it."""

    click_id: str
    offer: str
    query: str
    """The query as it came, ASCII, without the question mark."""
    inbound: tuple[Parameter, ...]
    """The parameters of the query that are passed on: all but the name of the offer."""
    address: str
    """The address of the visitor, as far as trusted proxies tell it."""
    user_agent: str
    accept_language: str
    start_time: datetime
    started: float
    """The same moment, in seconds by the event loop's clock."""
    no_trace_reason: str = ""
    """Why this request alone must not take an IP ("HEAD", "PREFETCH"); empty if it may."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """The proxy to leave through, with its credentials."""

    ip_address: str
    ip_port: int
    protocol: str
    username: str
    password: str
    provider: str
    country: str

    def __repr__(self) -> str:
        # The default would write the password into a log some day.
        return f"Proxy({self.ip_address}:{self.ip_port})"


class LeaseWanted(NamedTuple):
    """A request for a lease."""

    request_id: str
    country: str
    offer: str
    wait: float
    """Seconds that the request may wait for an IP."""
    click_id: str = ""
    """The click that the IP is for."""


class TraceJob(NamedTuple):
    """A request for a walk. Times are in seconds."""

    trace_id: str
    url: str
    proxy: Proxy
    total_timeout: float
    user_agent: str
    """The User-Agent to send; empty for the tracer's own."""
    accept_language: str


class Hop(NamedTuple):
    """One request of a walk and its response; times are in seconds from the start of the hop, None if not reached."""

    index: int  # type: ignore[assignment]  # a hop is no place to look for something with tuple.index()
    url: str
    status: int
    kind: str
    """How the response led on: the name of a `clicktrace.common.v1.Hop.Kind`; empty on the last hop."""
    next_url: str
    dns: float | None
    connect: float | None
    tls: float | None
    first_byte: float | None
    total: float | None
    error: str
    attempt: int = 1
    """The IP attempt this hop belongs to, from 1."""
    remote_address: str = ""
    """The address and port that was dialled: the proxy's, where there is one."""
    http_version: str = ""
    tls_version: str = ""
    """The TLS version with the origin; empty without TLS."""
    bytes: int = 0
    """Bytes received, as they were on the wire."""
    set_cookie_names: tuple[str, ...] = ()
    snippet: str = ""
    """The html or script that led on, cut to 200 characters; empty for headers."""


class WalkResult(NamedTuple):
    """How a walk ended."""

    final_url: str
    stop_reason: str
    total_time: float
    """In seconds."""
    bytes: int
    failure_reason: str = ""
    """Empty when the walk ended on a landing page or an app link."""
    blame: Blame | None = None
    target_reached: bool = True
    """Whether any origin may have seen a request."""
    target_host: str = ""
    """The host that a failure was about; empty without a failure."""
    final_status: int = 0
    """The HTTP status of the last hop; 0 if it got no response."""
    forwarded: bool = False
    """Whether the last response came from a proxy that forwards, so that it may be the proxy's own."""
    challenged: bool = False
    """Whether the last response carries the marker of a challenge that keeps robots out."""


class Attempt(NamedTuple):
    """One IP that was tried for a click; times are in seconds."""

    lease_id: str
    fence: int
    ip_address: str
    ip_port: int
    country: str
    lease_wait: float
    trace_time: float | None = None
    outcome: Outcome | None = None
    failure_reason: str = ""


class ClickRecord(NamedTuple):
    """Everything that was decided about one click; a later version of a record replaces the earlier one."""

    click_id: str
    version: int
    offer: str
    status: ClickStatus
    start_time: datetime
    give_up_time: datetime
    """After this time, an unfinished record means that its gateway died."""
    inbound_query: str
    answer: Answer | None = None
    reason: str = ""
    visitor_wait: float | None = None
    """How long the visitor waited for the answer, in seconds; None before it."""
    end_time: datetime | None = None
    location: str = ""
    final_url: str = ""
    stop_reason: str = ""
    attempts: Sequence[Attempt] = ()
    hops: Sequence[Hop] = ()
    params: Sequence[ParameterSource] = ()
    joined_click_id: str = ""
    otel_trace_id: str = ""
    visitor_address: str = ""
    """The visitor's address, as reduced by `PersonalData`."""
    user_agent: str = ""
    """The visitor's User-Agent, as reduced by `PersonalData`."""
    webhook_url: str = ""
    """The webhook for a late result; empty for every other record."""


@dataclass(frozen=True, slots=True)
class ClickFilter:
    """Which clicks are listed; what is empty or None does not narrow."""

    offer: str = ""
    status: ClickStatus | Literal[""] = ""
    reason: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A late result that is to be sent to a webhook."""

    click_id: str
    offer: str
    url: str
    attempts: int
    """Number of attempts, this one included."""


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A late result that is not delivered, as an operator sees it."""

    click_id: str
    offer: str
    url: str
    attempts: int
    dead: bool
    """Whether it is a dead letter."""
    last_error: str
    due_time: datetime
    create_time: datetime


class Decision(NamedTuple):
    """The answer to a visitor."""

    click_id: str
    answer: Answer
    location: str
    """Where the visitor is sent; empty for NO_CONTENT."""
    reason: str
    """Why it is no landing; empty if it is one."""
