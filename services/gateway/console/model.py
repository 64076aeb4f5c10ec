"""What the console reads from the pool manager: cells, counts, periods and pool sizes."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cell:
    """One IP of the pool."""

    proxy_id: int
    address: str
    """Host and port."""
    country: str
    provider: str
    state: str
    """AVAILABLE, IN_USE, COOLDOWN, UNHEALTHY or DRAINED."""
    available_at: float
    """When it can next be leased, in seconds since 1970 by the pool's clock."""
    cooldown: float | None
    """Its own cooldown in seconds, if it has one."""
    failures: int
    """The number of consecutive failures."""
    fence: int
    """Grows with every lease."""


@dataclass(frozen=True, slots=True)
class StateCounts:
    """The number of IPs by state, in the whole pool (`country` empty) or in one country."""

    country: str
    total: int
    available: int
    in_use: int
    cooldown: int
    unhealthy: int
    drained: int
    utilization: float
    """The share of usable IPs that are in use or in cooldown, 0 to 1."""
    next_available: float | None
    """When the next IP can be leased, in seconds since 1970 by the pool's clock; None if none will be."""


@dataclass(frozen=True, slots=True)
class PoolChange:
    """A change that the pool manager reports: the new counts, and the cells that changed."""

    at: float
    """The pool's clock, in seconds since 1970."""
    total: StateCounts
    countries: Sequence[StateCounts]
    cells: Sequence[Cell]
    gone: Sequence[int]
    """The proxy ids of deleted IPs."""


@dataclass(frozen=True, slots=True)
class Period:
    """The statistics of the whole pool over one period."""

    end: float
    """In seconds since 1970."""
    utilization: float
    """0 to 1."""
    grants_per_second: float


@dataclass(frozen=True, slots=True)
class SizeQuestion:
    """A load; a field that is None is taken from the pool's last hour."""

    country: str = ""
    clicks_per_second: float | None = None
    trace_time: float | None = None
    """In seconds."""
    cooldown: float | None = None
    """In seconds."""
    target_loss: float | None = None
    """The share of clicks that may find no IP, 0 to 1."""
    added_ips: int = 0


@dataclass(frozen=True, slots=True)
class SizeAnswer:
    """The number of IPs that a load needs, how the present IPs bear it, and the values that were assumed."""

    erlang_b_ips: int
    rule_of_thumb_ips: int
    offered_load: float
    """In Erlangs: the mean number of IPs in use or in cooldown."""
    present_ips: int
    present_loss: float
    """The share of clicks that find no IP with the present IPs, 0 to 1."""
    time_to_exhaustion: float | None
    """In seconds; None if the pool does not run dry."""
    clicks_per_second: float
    trace_time: float
    """In seconds."""
    cooldown: float
    """In seconds."""
    target_loss: float
    """0 to 1."""
