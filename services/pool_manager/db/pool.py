"""The pool in PostgreSQL, for operators: the store of `services.pool_manager.inventory.service`."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from libs.common.postgres.database import Pool
from libs.common.process import logs
from services.pool_manager.db.session import Row, change, fetch, statement
from services.pool_manager.health.prober import Exit, Probe
from services.pool_manager.model.capacity import (
    CensusRow,
    MeasuredLoad,
    PoolCensus,
    PoolStatus,
    StateCounts,
    Statistics,
    Usage,
)
from services.pool_manager.model.leases import LeaseFilter, LeaseInfo, LeasePage, LeaseToken, NotHeld, Outcome, Revoked
from services.pool_manager.model.operations import AuditEntry, Maintained
from services.pool_manager.model.proxies import (
    Protocol,
    Provisioned,
    Proxy,
    ProxyAction,
    ProxyFilter,
    ProxyInfo,
    ProxyPage,
    ProxySpec,
    ProxyState,
)

log = logs.get(__name__)

_PROVISION = statement("provision")
_STATUS = statement("pool_status")
_CENSUS = statement("census")
_SELECT = statement("select_proxies")
_PROXIES = statement("list_proxies")
_UPDATE = statement("update_proxies")
_DELETE = statement("delete_proxies")
_REVOKE = statement("revoke")
_LEASES = statement("list_leases")
_MAINTAIN = statement("maintain")
_TALLIES = statement("add_tallies")
_PROVIDERS = statement("set_providers")
_USAGE = statement("usage")
_STATISTICS = statement("list_statistics")
_LOAD = statement("load")
_CLAIM_PROBES = statement("claim_probes")
_PROBED = statement("probed")


class PostgresPool:
    """The pool in PostgreSQL."""

    def __init__(self, pool: Pool, *, cooldown: float, retention: float) -> None:
        """Prepares the store; the default cooldown and the time that history is kept are in seconds."""
        self._pool = pool
        self._cooldown = timedelta(seconds=cooldown)
        self._retention = timedelta(seconds=retention)

    async def provision(self, specs: Sequence[ProxySpec], record: AuditEntry | None) -> Provisioned:
        """Adds proxies or updates those that exist; all or nothing. Without a record it only counts."""
        row = await self._change(
            _PROVISION,
            [spec.ip_address for spec in specs],
            [spec.ip_port for spec in specs],
            [spec.protocol.value for spec in specs],
            [spec.country for spec in specs],
            [spec.provider for spec in specs],
            [None if spec.cooldown is None else timedelta(seconds=spec.cooldown) for spec in specs],
            record is None,
            record=record,
            results=("created", "updated"),
        )
        return Provisioned(row["created"], row["updated"], row["unchanged"])

    async def status(self, country: str) -> PoolStatus:
        """Counts the pool, or one country of it, by state."""
        rows = await fetch(self._pool, _STATUS, country)
        countries = tuple(_state_counts(row) for row in rows if row["country"] is not None)
        moments = [one.next_available for one in countries if one.next_available is not None]
        total = StateCounts(
            country=country,
            total=sum(one.total for one in countries),
            available=sum(one.available for one in countries),
            in_use=sum(one.in_use for one in countries),
            cooldown=sum(one.cooldown for one in countries),
            unhealthy=sum(one.unhealthy for one in countries),
            drained=sum(one.drained for one in countries),
            next_available=min(moments, default=None),
        )
        return PoolStatus(total, countries, rows[0]["db_time"])

    async def census(self, since: datetime | None) -> PoolCensus:
        """Counts the pool by country, provider and state, and the quarantines after a moment; None counts none."""
        rows = await fetch(self._pool, _CENSUS, since)
        counted = (
            CensusRow(row["country"], row["provider"], ProxyState(row["state"]), row["proxies"], row["quarantined"])
            for row in rows
            if row["country"] is not None
        )
        return PoolCensus(tuple(counted), rows[0]["db_time"], rows[0]["counted_until"])

    async def select(self, chosen: ProxyFilter) -> Sequence[int]:
        """Returns the ids of the proxies that a filter chooses, ascending."""
        return [row["id"] for row in await fetch(self._pool, _SELECT, *_values(chosen))]

    async def proxies(self, chosen: ProxyFilter, *, after: int, count: int) -> ProxyPage:
        """Returns up to `count` proxies in order of their ids, from behind the id `after` on."""
        rows = await fetch(self._pool, _PROXIES, *_values(chosen), after, count)
        return ProxyPage(tuple(_proxy_info(row) for row in rows if row["id"] is not None), rows[0]["db_time"])

    async def update(self, proxy_ids: Sequence[int], action: ProxyAction, record: AuditEntry | None) -> tuple[int, int]:
        """Changes proxies; returns how many there are, and how many were not as asked already."""
        row = await self._change(_UPDATE, proxy_ids, action.value, record is None, record=record, results=("changed",))
        return row["matched"], row["changed"]

    async def delete(self, proxy_ids: Sequence[int], *, revoke: bool, record: AuditEntry | None) -> tuple[int, int]:
        """Removes proxies unless one is under a live lease and `revoke` is not set; returns all, and those leased."""
        row = await self._change(
            _DELETE, proxy_ids, revoke, record is None, record=record, results=("removed", "revoked")
        )
        return row["deleted"], row["live"]

    async def leases(self, chosen: LeaseFilter, *, before: int, count: int) -> LeasePage:
        """Returns up to `count` leases, newest first, from before the fence `before` on."""
        rows = await fetch(
            self._pool,
            _LEASES,
            chosen.include_past,
            chosen.ip_address,
            chosen.offer,
            chosen.holder,
            chosen.country,
            chosen.since,
            chosen.until,
            before,
            count,
        )
        return LeasePage(tuple(_lease_info(row) for row in rows if row["fence"] is not None), rows[0]["db_time"])

    async def revoke(self, token: LeaseToken, record: AuditEntry | None) -> Revoked | NotHeld:
        """Takes a live lease from its holder; without a record it only tells what it would do."""
        row = await self._change(_REVOKE, *token, self._cooldown, record is None, record=record, results=("revoked",))
        if row["verdict"] == "UNKNOWN":
            return NotHeld.UNKNOWN
        return Revoked(row["verdict"] == "REVOKED", row["available_at"])

    async def _change(self, name: str, *args: object, record: AuditEntry | None, results: Sequence[str]) -> Row:
        """Changes something, and records it with those of the `results` that are not 0; unless all of them are."""

        def done(row: Row) -> dict[str, int]:
            return {} if record is None else {result: row[result] for result in results if row[result]}

        def written(row: Row) -> tuple[object, ...] | None:
            if record is None or not done(row):
                return None
            return record.actor, record.action, json.dumps({**done(row), **record.details})

        row = await change(self._pool, name, *args, record=written)
        if record is not None and done(row):
            log.info("pool.changed", actor=record.actor, action=record.action, **done(row))
        return row

    async def maintain(self, *, forced: bool, dry_run: bool) -> Maintained:
        """Closes expired leases, writes statistics, and forgets what is old; skips if another replica is at it."""
        (row,) = await fetch(self._pool, _MAINTAIN, self._retention, forced, dry_run)
        return Maintained(row["statistics_rows"], row["expired_leases"], row["deleted_rows"], row["skipped"])

    async def add_tallies(self, refusals: dict[str, int], waits: dict[str, int]) -> None:
        """Adds the numbers of refused and of waiting requests, per country."""
        countries = sorted(refusals.keys() | waits.keys())
        await fetch(
            self._pool,
            _TALLIES,
            countries,
            [refusals.get(country, 0) for country in countries],
            [waits.get(country, 0) for country in countries],
        )

    async def set_providers(self, cooldowns: Mapping[str, float], prices: Mapping[str, float]) -> None:
        """Stores the providers of the settings; cooldowns are in seconds."""
        names = sorted(cooldowns.keys() | prices.keys())
        await fetch(
            self._pool,
            _PROVIDERS,
            names,
            [timedelta(seconds=cooldowns[name]) if name in cooldowns else None for name in names],
            [Decimal(str(prices[name])) if name in prices else None for name in names],
        )

    async def usage(self, country: str) -> Usage:
        """Counts the free IPs of a country (empty: of all), and the busy ones by offer."""
        counted = {row["busy_with"]: row["ips"] for row in await fetch(self._pool, _USAGE, country)}
        free = counted.pop(None, 0)
        return Usage(free, counted)

    async def statistics(
        self, country: str, since: datetime | None, *, before: int, count: int
    ) -> Sequence[Statistics]:
        """Returns up to `count` statistics rows, newest first, from before the row `before` on."""
        return [_statistics(row) for row in await fetch(self._pool, _STATISTICS, country, since, before, count)]

    async def load(self, country: str) -> MeasuredLoad:
        """Returns the measured load of the last hour, of the pool or of one country."""
        (row,) = await fetch(self._pool, _LOAD, country, self._cooldown)
        return MeasuredLoad(row["clicks_per_second"], row["trace_time"], row["cooldown"])

    async def claim_probes(self, count: int, seconds: float) -> Sequence[Probe]:
        """Chooses up to `count` IPs that are due, for this replica alone for `seconds`."""
        rows = await fetch(self._pool, _CLAIM_PROBES, count, timedelta(seconds=seconds))
        return [Probe(row["id"], row["probe_at"], _proxy(row)) for row in rows]

    async def probed(self, probe: Probe, seen: Exit | None, first_pause: float) -> bool:
        """Records what the probe saw (None: it failed); returns whether the quarantine is over.

        `first_pause` is the pause after the first failure, in seconds.
        """
        address, country = (None, None) if seen is None else (seen.address, seen.country)
        (row,) = await fetch(
            self._pool, _PROBED, probe.proxy_id, probe.claim, address, country, timedelta(seconds=first_pause)
        )
        back: bool = row["healthy"]
        return back


def _proxy(row: Row) -> Proxy:
    return Proxy(row["ip_address"], row["ip_port"], Protocol(row["protocol"]), row["provider"], row["country"])


def _values(chosen: ProxyFilter) -> tuple[str, str, str, str]:
    return chosen.country, chosen.provider, chosen.state.value if chosen.state else "", chosen.ip_address


def _proxy_info(row: Row) -> ProxyInfo:
    return ProxyInfo(
        proxy_id=row["id"],
        proxy=_proxy(row),
        state=ProxyState(row["state"]),
        available_at=row["available_at"],
        consecutive_failures=row["consecutive_failures"],
        fence=row["fence"],
        cooldown=None if row["cooldown"] is None else row["cooldown"].total_seconds(),
        is_healthy=row["is_healthy"],
        drained=row["drained"],
        exit_address=row["exit_address"] or "",
        exit_country=row["exit_country"] or "",
    )


def _lease_info(row: Row) -> LeaseInfo:
    return LeaseInfo(
        token=LeaseToken(row["proxy_id"], row["fence"], row["nonce"].hex),
        ip_address=row["ip_address"],
        ip_port=row["ip_port"],
        country=row["country"],
        provider=row["provider"],
        request_id=row["request_id"],
        offer=row["offer"],
        holder=row["holder"],
        granted_at=row["granted_at"],
        expires_at=row["expires_at"],
        ended_at=row["ended_at"] if row["ending"] in {"RELEASED", "REVOKED"} else None,
        outcome=Outcome(row["outcome"]) if row["outcome"] else None,
        failure_reason=row["failure_reason"],
        live=row["ending"] == "LIVE",
        revoked=row["ending"] == "REVOKED",
    )


def _statistics(row: Row) -> Statistics:
    return Statistics(
        row_id=row["id"],
        country=row["country"],
        start_at=row["start_at"],
        end_at=row["end_at"],
        total=row["total"],
        available=row["available"],
        utilization=row["utilization"],
        grants=row["grants"],
        refusals=row["refusals"],
        waits=row["waits"],
        mean_trace_time=None if row["mean_trace_time"] is None else row["mean_trace_time"].total_seconds(),
        proxy_failures=row["proxy_failures"],
        estimated_cost=float(row["estimated_cost"]),
    )


def _state_counts(row: Row) -> StateCounts:
    next_available = row["next_available_at"]
    return StateCounts(
        country=row["country"],
        total=row["total"],
        available=row["available"],
        in_use=row["in_use"],
        cooldown=row["cooldown"],
        unhealthy=row["unhealthy"],
        drained=row["drained"],
        # An IP that is free already is free now.
        next_available=None if next_available is None else max(next_available, row["db_time"]),
    )
