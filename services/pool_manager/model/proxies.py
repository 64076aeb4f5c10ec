"""Proxies: as they are provisioned, filtered, and shown to operators."""

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from libs.common.enums import OpenEnum


class Protocol(OpenEnum):
    """How a client speaks to a proxy."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"
    SOCKS5 = "SOCKS5"


class Proxy(NamedTuple):
    """A proxy as it stands in the pool, without credentials."""

    ip_address: str
    ip_port: int
    protocol: Protocol
    provider: str
    country: str


@dataclass(frozen=True, slots=True)
class ProxySpec:
    """A proxy to add to the pool. `cooldown` is in seconds; None leaves it to the provider's or the default one."""

    ip_address: str
    ip_port: int
    protocol: Protocol
    provider: str
    country: str
    cooldown: float | None


class ProxyState(OpenEnum):
    """State of an IP at a moment. The values are those of the database."""

    AVAILABLE = "available"
    IN_USE = "in_use"
    COOLDOWN = "cooldown"
    UNHEALTHY = "unhealthy"
    DRAINED = "drained"


class ProxyAction(enum.Enum):
    """An operation on proxies."""

    DRAIN = "DRAIN"
    ENABLE = "ENABLE"
    RESET_HEALTH = "RESET_HEALTH"


@dataclass(frozen=True, slots=True)
class ProxyFilter:
    """Selects proxies. An empty field matches all."""

    country: str = ""
    provider: str = ""
    state: ProxyState | None = None
    ip_address: str = ""

    @property
    def narrows(self) -> bool:
        """Whether any field is set."""
        return self != ProxyFilter()


@dataclass(frozen=True, slots=True)
class ProxyInfo:
    """A proxy as operators see it. `cooldown` is in seconds; None leaves it to the provider's or the default one."""

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
    """One page of proxies, in order of their ids."""

    proxies: tuple[ProxyInfo, ...]
    db_time: datetime


@dataclass(frozen=True, slots=True)
class Provisioned:
    """Result of provisioning: how many proxies were added, changed, and left as they were."""

    created: int
    updated: int
    unchanged: int
