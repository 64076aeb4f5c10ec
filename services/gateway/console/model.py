"""What the console shows of the pool: cells, counts, periods and sizes. Times are in seconds since the epoch."""

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
    """When it can next be leased, by the pool's clock."""
    cooldown: float | None
    """Its own cooldown in seconds, if it has one."""
    failures: int
    """How many failures came in a row."""
    fence: int
    """Changes with every lease."""


@dataclass(frozen=True, slots=True)
class Census:
    """The pool, or one country of it (`country` not empty), counted by state."""

    country: str
    total: int
    available: int
    in_use: int
    cooldown: int
    unhealthy: int
    drained: int
    utilization: float
    """The busy share of the usable IPs, 0 to 1."""
    next_available: float | None


@dataclass(frozen=True, slots=True)
class PoolChange:
    """What the pool manager tells: the pool counted, and the cells that are not as they were."""

    at: float
    """The pool's clock."""
    total: Census
    countries: Sequence[Census]
    cells: Sequence[Cell]
    gone: Sequence[int]


@dataclass(frozen=True, slots=True)
class Period:
    """The whole pool over one period, as its maintenance has written it."""

    end: float
    utilization: float
    grants_per_second: float


@dataclass(frozen=True, slots=True)
class SizeQuestion:
    """A load; what is None is taken from the pool's last hour. Times are in seconds."""

    country: str = ""
    clicks_per_second: float | None = None
    trace_time: float | None = None
    cooldown: float | None = None
    target_loss: float | None = None
    added_ips: int = 0


@dataclass(frozen=True, slots=True)
class SizeAnswer:
    """How many IPs a load needs, and how the present ones do under it; with the values that were used."""

    erlang_b_ips: int
    rule_of_thumb_ips: int
    offered_load: float
    present_ips: int
    present_loss: float
    time_to_exhaustion: float | None
    clicks_per_second: float
    trace_time: float
    cooldown: float
    target_loss: float
