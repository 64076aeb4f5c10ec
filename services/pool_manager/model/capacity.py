"""How much of the pool is free, busy or out: counts, forecasts and statistics."""

from dataclasses import dataclass
from datetime import datetime

from services.pool_manager.model.proxies import ProxyState


@dataclass(frozen=True, slots=True)
class AvailabilityForecast:
    """When the next IPs come free if no lease is released early."""

    delays: tuple[float, ...]
    """Seconds from the answer until each IP is free, ascending; negative or 0 for an IP that is free."""
    least_cooldown: float
    """The shortest cooldown of any IP after a release, in seconds."""


@dataclass(slots=True)
class Usage:
    """Usable IPs of a country: the free ones, and those in use or cooling down by the offer that leased them last."""

    free: int
    busy: dict[str, int]

    @property
    def usable(self) -> int:
        """All usable IPs."""
        return self.free + sum(self.busy.values())


@dataclass(frozen=True, slots=True)
class StateCounts:
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
        """Busy share of the usable IPs, 0 to 1. An IP that cools down counts as busy."""
        busy = self.in_use + self.cooldown
        return busy / (busy + self.available) if busy else 0.0


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """The whole pool and each country in alphabetical order, at `db_time`."""

    total: StateCounts
    countries: tuple[StateCounts, ...]
    db_time: datetime


@dataclass(frozen=True, slots=True)
class CensusRow:
    """How many IPs of a country and provider are in a state, and how many of them were quarantined lately."""

    country: str
    provider: str
    state: ProxyState
    proxies: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class PoolCensus:
    """The whole pool at `db_time` by country, provider and state; quarantines are counted up to `counted_until`."""

    rows: tuple[CensusRow, ...]
    db_time: datetime
    counted_until: datetime


@dataclass(frozen=True, slots=True)
class Statistics:
    """A country over one period of maintenance. `utilization` is 0 to 1, `mean_trace_time` in seconds."""

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
    """Load of the pool in the last hour; times in seconds, None without a record."""

    clicks_per_second: float | None
    trace_time: float | None
    cooldown: float
