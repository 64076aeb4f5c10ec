"""What the pool manager talks about: proxies, leases, and what can be asked of them.

Spans of time are in seconds; moments are aware datetimes and always the database's clock. What every lease needs is a
named tuple, which is made in a third of the time that a frozen dataclass takes.
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Self

_TOKEN = re.compile(r"([1-9][0-9]{0,18})\.([1-9][0-9]{0,18})\.([0-9a-f]{32})")
_MAX_ID = 2**63 - 1


class Protocol(enum.Enum):
    """How a client speaks to a proxy."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"
    SOCKS5 = "SOCKS5"


class Outcome(enum.Enum):
    """How the use of a lease ended; only PROXY_FAILURE counts against the health of an IP."""

    SUCCESS = "SUCCESS"
    PROXY_FAILURE = "PROXY_FAILURE"
    TARGET_FAILURE = "TARGET_FAILURE"
    UNCLEAR_FAILURE = "UNCLEAR_FAILURE"
    CANCELLED = "CANCELLED"


class LeaseToken(NamedTuple):
    """Proves the right to a lease.

    Its text form is the `lease_id`, opaque to callers. It leads to the row of the proxy by primary key, and the random
    nonce keeps tokens that were invented, or that date from before a restored backup, from meaning anything.
    """

    proxy_id: int
    fence: int
    nonce: str
    """128 random bits as 32 hexadecimal digits."""

    def __str__(self) -> str:
        return f"{self.proxy_id}.{self.fence}.{self.nonce}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Reads a `lease_id`; None if it cannot be one of ours."""
        match = _TOKEN.fullmatch(text)
        if match is None:
            return None
        token = cls(int(match[1]), int(match[2]), match[3])
        return token if token.proxy_id <= _MAX_ID and token.fence <= _MAX_ID else None


class Proxy(NamedTuple):
    """A proxy as it stands in the pool, without credentials."""

    ip_address: str
    ip_port: int
    protocol: Protocol
    provider: str
    country: str


@dataclass(frozen=True, slots=True)
class ProxySpec:
    """A proxy to add to the pool; `cooldown` is None where the provider's or the default one holds."""

    ip_address: str
    ip_port: int
    protocol: Protocol
    provider: str
    country: str
    cooldown: float | None


@dataclass(frozen=True, slots=True)
class Rule:
    """What an offer need not wait for; by default it waits until an IP has rested, whoever used it."""

    rest_key: str = ""
    """Where not empty: an IP rests only between leases of one key, such as the host of the offer."""
    reuse: bool = False
    """Whether the offer may have an IP again at once where it had it last."""


NO_RULE = Rule()


class Demand(NamedTuple):
    """Whom an IP must be free for: a country (empty: any), and an offer if that is under a rule of its own."""

    country: str
    offer: str = ""
    rule: Rule = NO_RULE


class LeaseRequest(NamedTuple):
    """Asks for one IP; the empty country means any."""

    request_id: str
    country: str
    offer: str
    holder: str
    ttl: float
    wait: float
    click_id: str = ""
    """The click that the IP is for, to be found in the logs; empty for none."""
    rule: Rule = NO_RULE

    @property
    def demand(self) -> Demand:
        """Whom the IP must be free for."""
        return Demand(self.country) if self.rule == NO_RULE else Demand(self.country, self.offer, self.rule)


class Grant(NamedTuple):
    """One IP, for the bearer of the token alone, until `expire_time`."""

    token: LeaseToken
    proxy: Proxy
    expire_time: datetime
    db_time: datetime


class Refusal(NamedTuple):
    """No IP is free; `next_available` says when one will be, None that none can be."""

    next_available: datetime | None
    db_time: datetime

    @property
    def retry_after(self) -> float | None:
        """The time to the next free IP, 0 if one is free but locked by another; None if none can be free."""
        if self.next_available is None:
            return None
        return max(0.0, (self.next_available - self.db_time).total_seconds())


@dataclass(frozen=True, slots=True)
class Outlook:
    """When IPs come free as things stand; spans from the moment of the answer, ascending, negative where they are."""

    delays: tuple[float, ...]
    least_cooldown: float
    """The shortest rest that any IP takes after a release."""


@dataclass(slots=True)
class Usage:
    """The usable IPs of a country: the free ones, and those in use or at rest by the offer that had them last."""

    free: int
    busy: dict[str, int]

    @property
    def usable(self) -> int:
        """How many there are."""
        return self.free + sum(self.busy.values())


class HeartbeatRequest(NamedTuple):
    """Asks to keep a lease for `ttl` from now on."""

    token: LeaseToken
    ttl: float


class ReleaseRequest(NamedTuple):
    """Ends a lease and says how it went; `trace_time` is None where the holder did not say."""

    token: LeaseToken
    outcome: Outcome
    failure_reason: str
    trace_time: float | None
    bytes: int
    click_id: str = ""
    """The click that the IP was for, to be found in the logs; empty for none."""


class Kept(NamedTuple):
    """A heartbeat was in time; the lease now ends at `expire_time`."""

    expire_time: datetime
    db_time: datetime


class Released(NamedTuple):
    """A lease is over; its IP can be leased again at `available_time`."""

    available_time: datetime
    db_time: datetime


class NotHeld(enum.Enum):
    """Why a token does not entitle its bearer."""

    LOST = "LOST"
    """The lease expired, ended, was revoked, or its IP has a later one."""
    UNKNOWN = "UNKNOWN"
    """No such lease was ever granted."""


@dataclass(frozen=True, slots=True)
class Record:
    """Who changes what; it is written in the transaction of the change, with what the change comes to."""

    actor: str
    action: str
    details: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Provisioned:
    """How many proxies were added, changed, and there already."""

    created: int
    updated: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class Census:
    """The proxies of one country, or of the whole pool (empty country), counted by state."""

    country: str
    total: int = 0
    available: int = 0
    in_use: int = 0
    cooldown: int = 0
    unhealthy: int = 0
    drained: int = 0
    next_available: datetime | None = None
    """When the next IP can be leased; None if none ever can."""

    @property
    def utilization(self) -> float:
        """The busy share of the usable IPs, 0 to 1; resting counts as busy, for a resting IP serves nobody."""
        busy = self.in_use + self.cooldown
        return busy / (busy + self.available) if busy else 0.0


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """The whole pool and each country in alphabetical order, at `db_time`."""

    total: Census
    countries: tuple[Census, ...]
    db_time: datetime


class ProxyState(enum.Enum):
    """What an IP can be used for at a moment; the values are those of the database."""

    AVAILABLE = "available"
    IN_USE = "in_use"
    COOLDOWN = "cooldown"
    UNHEALTHY = "unhealthy"
    DRAINED = "drained"


@dataclass(frozen=True, slots=True)
class ProxyTally:
    """How many IPs of a country and a provider are in a state, and how many of them were quarantined of late."""

    country: str
    provider: str
    state: ProxyState
    proxies: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class PoolCensus:
    """The whole pool at `db_time`; quarantines are counted up to `counted_until`."""

    tallies: tuple[ProxyTally, ...]
    db_time: datetime
    counted_until: datetime


class ProxyAction(enum.Enum):
    """What an operator does to proxies."""

    DRAIN = "DRAIN"
    ENABLE = "ENABLE"
    RESET_HEALTH = "RESET_HEALTH"


@dataclass(frozen=True, slots=True)
class ProxyFilter:
    """Chooses proxies; what is empty does not narrow."""

    country: str = ""
    provider: str = ""
    state: ProxyState | None = None
    ip_address: str = ""

    @property
    def narrows(self) -> bool:
        """Whether it chooses anything but all."""
        return self != ProxyFilter()


@dataclass(frozen=True, slots=True)
class ProxyInfo:
    """A proxy as operators see it."""

    proxy_id: int
    proxy: Proxy
    state: ProxyState
    available_at: datetime
    consecutive_failures: int
    fence: int
    cooldown: float | None
    is_healthy: bool
    drained: bool
    exit_address: str
    exit_country: str


@dataclass(frozen=True, slots=True)
class ProxyPage:
    """Proxies in order of their ids."""

    proxies: tuple[ProxyInfo, ...]
    db_time: datetime


@dataclass(frozen=True, slots=True)
class LeaseFilter:
    """Chooses leases; what is empty does not narrow."""

    include_past: bool = False
    ip_address: str = ""
    offer: str = ""
    holder: str = ""
    country: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class LeaseInfo:
    """A lease as operators see it."""

    token: LeaseToken
    ip_address: str
    ip_port: int
    country: str
    provider: str
    request_id: str
    offer: str
    holder: str
    granted_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    """When it was released or revoked; None if it was not."""
    outcome: Outcome | None
    failure_reason: str
    live: bool
    revoked: bool


@dataclass(frozen=True, slots=True)
class LeasePage:
    """Leases, newest first."""

    leases: tuple[LeaseInfo, ...]
    db_time: datetime


@dataclass(frozen=True, slots=True)
class Revoked:
    """What became of a lease that was to be revoked."""

    revoked: bool
    """Whether it was alive, and so taken."""
    available_at: datetime | None
    """The end of the cooldown of its IP; None if the IP is gone."""


@dataclass(frozen=True, slots=True)
class Maintained:
    """What a run of maintenance did."""

    statistics_rows: int = 0
    expired_leases: int = 0
    deleted_rows: int = 0
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Statistics:
    """A country over one period."""

    row_id: int
    country: str
    start_at: datetime
    end_at: datetime
    total: int
    available: int
    utilization: float
    grants: int
    refusals: int
    waits: int
    mean_trace_time: float | None
    proxy_failures: int
    estimated_cost: float


@dataclass(frozen=True, slots=True)
class MeasuredLoad:
    """What the pool bore in its last hour; None where there is no record."""

    clicks_per_second: float | None
    trace_time: float | None
    cooldown: float
