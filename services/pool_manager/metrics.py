"""Metrics of leases and of the pool. The names, their meaning and their labels are in docs/metrics.md.

Countries are those of ISO 3166-1, providers those that were provisioned; each family is bounded besides.
"""

from collections.abc import Mapping

from prometheus_client import Counter, Gauge, Histogram

from libs.common.observability.metrics import SECONDS, Bounded, BoundedGauges, exemplar
from services.pool_manager.model.capacity import PoolCensus
from services.pool_manager.model.leases import Grant, LeaseRequest, Outcome, Released

_LEASES = Bounded(
    Counter(
        "clicktrace_pool_leases",
        "Requests for an IP, by the country asked for (or any), the provider granted, and GRANTED or why not.",
        ["country", "provider", "result"],
    ),
    most=2_000,
)
_LEASE_WAIT = Histogram(
    "clicktrace_pool_lease_wait_seconds", "How long those who got an IP had waited for it.", buckets=SECONDS
)
_RELEASES = Counter("clicktrace_pool_releases", "Leases that were released, by outcome.", ["outcome"])
_RELEASED = {outcome: _RELEASES.labels(outcome.value) for outcome in Outcome}
_COOLDOWN = Histogram(
    "clicktrace_pool_cooldown_seconds",
    "The cooldowns of released IPs.",
    buckets=(1, 5, 10, 20, 30, 45, 60, 90, 120, 300, 600, 3600),
)
_WAITING = BoundedGauges(
    Gauge("clicktrace_pool_waiting", "Requests that wait for an IP, by the country asked for.", ["country"])
)
_PROXIES = BoundedGauges(
    Gauge("clicktrace_pool_proxies", "IPs of the whole pool, by state.", ["country", "provider", "state"]), most=5_000
)
_EXHAUSTION = BoundedGauges(
    Gauge(
        "clicktrace_pool_exhaustion_seconds",
        "In how long no IP of a country is free if the last two minutes go on; infinite if their number does not fall.",
        ["country"],
    )
)
_QUARANTINES = Bounded(Counter("clicktrace_pool_quarantines", "IPs that were quarantined, in the pool.", ["provider"]))
_MAINTAINED = Gauge(
    "clicktrace_pool_maintenance_timestamp_seconds",
    "When this replica last did the work of the minute (one of all does it each time); at first the start.",
)


class PoolMetrics:
    """Counts leases, and shows the pool."""

    def granted(self, request: LeaseRequest, grant: Grant, waited: float) -> None:
        """Counts a request that got its IP `waited` seconds after it came."""
        example = exemplar()
        _LEASES.of(request.country or "any", grant.proxy.provider, "GRANTED").inc(1, example)
        _LEASE_WAIT.observe(waited, example)

    def refused(self, request: LeaseRequest, reason: str) -> None:
        """Counts a request that got no IP."""
        _LEASES.of(request.country or "any", "", reason).inc(1, exemplar())

    def waits(self, request: LeaseRequest, change: int) -> None:
        """Counts the beginning (1) or the end (-1) of a wait."""
        _WAITING.of(request.country or "any").inc(change)

    def released(self, outcome: Outcome, released: Released) -> None:
        """Counts the end of a lease."""
        _RELEASED[outcome].inc()
        _COOLDOWN.observe(max(0.0, (released.available_time - released.db_time).total_seconds()))

    def counted(self, census: PoolCensus, exhausted_in: Mapping[str, float]) -> None:
        """Sets the gauges to a census, and to the seconds until each country has no free IP."""
        _PROXIES.replace(((row.country, row.provider, row.state.value), row.proxies) for row in census.rows)
        for row in census.rows:
            _QUARANTINES.of(row.provider).inc(row.quarantined)
        _EXHAUSTION.replace(((country,), seconds) for country, seconds in exhausted_in.items())


def maintained() -> None:
    """Records that this replica ran maintenance."""
    _MAINTAINED.set_to_current_time()
