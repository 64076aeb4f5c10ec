"""Leases: what is asked for, what is granted or refused, and what operators see of them."""

import enum
import re
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Self

from libs.common.enums import OpenEnum
from services.pool_manager.model.proxies import Proxy

_TOKEN = re.compile(r"([1-9][0-9]{0,18})\.([1-9][0-9]{0,18})\.([0-9a-f]{32})")
_MAX_ID = 2**63 - 1


class Outcome(OpenEnum):
    """How the use of a lease ended. Only PROXY_FAILURE counts against an IP; after UNUSED it needs no cooldown."""

    SUCCESS = "SUCCESS"
    PROXY_FAILURE = "PROXY_FAILURE"
    TARGET_FAILURE = "TARGET_FAILURE"
    UNCLEAR_FAILURE = "UNCLEAR_FAILURE"
    CANCELLED = "CANCELLED"
    UNUSED = "UNUSED"


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


@dataclass(frozen=True, slots=True)
class CooldownPolicy:
    """Which cooldowns apply to an offer. By default all of them, whichever offer used the IP."""

    key: str = ""
    """If not empty, only cooldowns of leases with the same key, such as the offer's host, or without a key apply."""
    reuse: bool = False
    """Whether the offer may lease an IP that it used last without waiting for the cooldown."""


EVERY_COOLDOWN = CooldownPolicy()


class Demand(NamedTuple):
    """Which IPs a request can use: those of a country (empty: any), free under the cooldown policy of its offer.

    The offer is named only under a policy of its own, so that all other requests of a country wait in one line.
    """

    country: str
    offer: str = ""
    policy: CooldownPolicy = EVERY_COOLDOWN


class LeaseRequest(NamedTuple):
    """Asks for one IP for `ttl` seconds, waiting for it up to `wait` seconds. The empty country means any."""

    request_id: str
    country: str
    offer: str
    holder: str
    ttl: float
    wait: float
    click_id: str = ""
    """The click that the IP is for, as the logs name it; empty for none."""
    policy: CooldownPolicy = EVERY_COOLDOWN
    asks_again: bool = False
    """Whether the caller asks once more, with a wait, if it is refused although an IP can come free."""

    @property
    def demand(self) -> Demand:
        """Which IPs it can use."""
        return Demand(self.country) if self.policy == EVERY_COOLDOWN else Demand(self.country, self.offer, self.policy)


class Grant(NamedTuple):
    """Grants one IP to the holder of the lease token alone, until `expire_time`."""

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
        """Seconds to the next free IP; 0 if one is free but locked by another request, None if none can become free."""
        if self.next_available is None:
            return None
        return max(0.0, (self.next_available - self.db_time).total_seconds())


class HeartbeatRequest(NamedTuple):
    """Asks to keep a lease for `ttl` seconds from now."""

    token: LeaseToken
    ttl: float


class ReleaseRequest(NamedTuple):
    """Ends a lease and reports its outcome. `trace_time` is in seconds; None if the holder did not report it."""

    token: LeaseToken
    outcome: Outcome
    failure_reason: str
    trace_time: float | None
    bytes: int
    click_id: str = ""
    """The click that the IP was for, as the logs name it; empty for none."""


class Kept(NamedTuple):
    """Answer to a heartbeat that was in time: the lease now ends at `expire_time`."""

    expire_time: datetime
    db_time: datetime


class Released(NamedTuple):
    """A lease is over; its IP can be leased again at `available_time`."""

    available_time: datetime
    db_time: datetime


class NotHeld(enum.Enum):
    """Why a lease token proves no live lease."""

    LOST = "LOST"
    """The lease expired, ended, was revoked, or its IP has a later one."""
    UNKNOWN = "UNKNOWN"
    """No such lease was ever granted."""


@dataclass(frozen=True, slots=True)
class LeaseFilter:
    """Selects leases. An empty field matches all."""

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
    """When it was released or revoked; None if neither."""
    outcome: Outcome | None
    failure_reason: str
    live: bool
    revoked: bool


@dataclass(frozen=True, slots=True)
class LeasePage:
    """One page of leases, newest first."""

    leases: tuple[LeaseInfo, ...]
    db_time: datetime


@dataclass(frozen=True, slots=True)
class Revoked:
    """Result of revoking a lease."""

    revoked: bool
    """Whether the lease was live, and so ended now."""
    available_at: datetime | None
    """The end of the cooldown of its IP; None if the IP is gone."""
