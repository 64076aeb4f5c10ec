"""Use cases of operators: read the pool, change it, and record who changed what."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from libs.common.errors import ClicktraceError, Code, Violation, invalid_request
from services.pool_manager.capacity import erlang, maintenance
from services.pool_manager.model.capacity import MeasuredLoad, PoolStatus, Statistics
from services.pool_manager.model.errors import not_held
from services.pool_manager.model.leases import LeaseFilter, LeasePage, LeaseToken, NotHeld, Revoked
from services.pool_manager.model.operations import AuditEntry, Maintained
from services.pool_manager.model.proxies import Provisioned, ProxyAction, ProxyFilter, ProxyPage, ProxySpec

# A change holds the rows it changes; in bites of this size a heartbeat that wants one of them waits some milliseconds.
_BITE = 1000


class PoolStore(Protocol):
    """Stores the pool.

    A change is made and recorded together or not at all; without a record it is a dry run, which only counts.
    Raises UNAVAILABLE/DATABASE_UNAVAILABLE when the database does not answer.
    """

    async def provision(self, specs: Sequence[ProxySpec], record: AuditEntry | None) -> Provisioned:
        """Adds proxies or updates those that exist, all or nothing."""
        ...

    async def status(self, country: str) -> PoolStatus:
        """Counts the pool by state, or one country of it where that is not empty."""
        ...

    async def select(self, chosen: ProxyFilter) -> Sequence[int]:
        """Returns the ids of the proxies that a filter chooses, ascending."""
        ...

    async def proxies(self, chosen: ProxyFilter, *, after: int, count: int) -> ProxyPage:
        """Returns up to `count` proxies in order of their ids, from behind the id `after` on."""
        ...

    async def update(self, proxy_ids: Sequence[int], action: ProxyAction, record: AuditEntry | None) -> tuple[int, int]:
        """Changes proxies; returns how many there are, and how many were not as asked already."""
        ...

    async def delete(self, proxy_ids: Sequence[int], *, revoke: bool, record: AuditEntry | None) -> tuple[int, int]:
        """Removes proxies unless one is under a live lease and `revoke` is not set; returns all, and those leased."""
        ...

    async def leases(self, chosen: LeaseFilter, *, before: int, count: int) -> LeasePage:
        """Returns up to `count` leases, newest first, from before the fence `before` on."""
        ...

    async def revoke(self, token: LeaseToken, record: AuditEntry | None) -> Revoked | NotHeld:
        """Revokes a live lease."""
        ...

    async def maintain(self, *, forced: bool, dry_run: bool) -> Maintained:
        """Closes expired leases, writes statistics, and forgets what is old; skips if another replica is at it."""
        ...

    async def statistics(
        self, country: str, since: datetime | None, *, before: int, count: int
    ) -> Sequence[Statistics]:
        """Returns up to `count` statistics rows, newest first, from before the row `before` on."""
        ...

    async def load(self, country: str) -> MeasuredLoad:
        """Returns the measured load of the last hour, of the pool or of one country."""
        ...


class Operating:
    """Runs operators' requests. `actor` names in each change who asked for it."""

    def __init__(self, store: PoolStore) -> None:
        """Works on the pool in `store`."""
        self._store = store

    async def update(
        self, actor: str, proxy_ids: Sequence[int], chosen: ProxyFilter, action: ProxyAction, *, dry_run: bool
    ) -> tuple[int, int]:
        """Changes the proxies that are chosen by id or by filter; returns how many there are, and how many changed."""
        matched = changed = 0
        selected = await self._select(proxy_ids, chosen)
        for start in range(0, len(selected), _BITE):
            bite = selected[start : start + _BITE]
            record = AuditEntry(actor, action.value, {**_selection(chosen), "proxy_ids": bite})
            some, others = await self._store.update(bite, action, None if dry_run else record)
            matched += some
            changed += others
        return matched, changed

    async def delete(
        self, actor: str, proxy_ids: Sequence[int], chosen: ProxyFilter, *, revoke: bool, dry_run: bool
    ) -> tuple[int, int]:
        """Removes the proxies that are chosen by id or by filter; returns how many, and how many leases were revoked.

        Raises FAILED_PRECONDITION/PROXY_IN_USE, and removes nothing, under a live lease unless `revoke` is set.
        """
        selected = await self._select(proxy_ids, chosen)
        record = AuditEntry(actor, "DELETE", {**_selection(chosen), "proxy_ids": selected[:_BITE]})
        deleted, live = await self._store.delete(selected, revoke=revoke, record=None if dry_run else record)
        if live and not revoke:
            raise ClicktraceError(
                Code.FAILED_PRECONDITION,
                "PROXY_IN_USE",
                f"{live} of {deleted} proxies are under a live lease; drain them first, or set revoke_leases",
            )
        return deleted, live

    async def revoke(self, actor: str, token: LeaseToken, *, dry_run: bool) -> Revoked:
        """Revokes a live lease; raises NOT_FOUND/UNKNOWN_LEASE for one that was never granted."""
        record = AuditEntry(actor, "REVOKE", {"proxy_id": token.proxy_id, "fence": token.fence})
        done = await self._store.revoke(token, None if dry_run else record)
        if isinstance(done, NotHeld):
            raise not_held(done)
        return done

    async def maintain(self, *, forced: bool, dry_run: bool) -> tuple[Maintained, Sequence[str]]:
        """Runs maintenance; returns what was done, and findings for an operator."""
        done = await self._store.maintain(forced=forced, dry_run=dry_run)
        if done.skipped:
            return done, ()
        status = await self._store.status("")
        rows = await self._store.statistics("", None, before=2**63 - 1, count=len(status.countries))
        return done, maintenance.findings(status, rows)

    async def estimate(
        self, country: str, load: erlang.PartialLoad, *, added_ips: int
    ) -> tuple[erlang.Load, erlang.Estimate]:
        """Computes how many IPs a load needs; what it leaves out is taken from the pool's own last hour.

        Raises INVALID_ARGUMENT/INVALID_REQUEST, naming what is missing or too large.
        """
        measured = await self._store.load(country)
        status = await self._store.status(country)
        violations: list[Violation] = []
        whole = load.completed(violations, measured)
        present = status.total.available + status.total.in_use + status.total.cooldown + added_ips
        if present < 0:
            violations.append(
                Violation("added_ips", f"takes away more than the {present - added_ips} usable IPs there are")
            )
        if violations or whole is None:
            raise invalid_request(violations)
        return whole, erlang.estimate(
            whole,
            present=present,
            available=max(0, status.total.available + added_ips),
            busy=status.total.in_use + status.total.cooldown,
        )

    async def _select(self, proxy_ids: Sequence[int], chosen: ProxyFilter) -> Sequence[int]:
        return sorted(set(proxy_ids)) if proxy_ids else await self._store.select(chosen)


def check_selection(proxy_ids: Sequence[int], chosen: ProxyFilter) -> None:
    """Raises INVALID_ARGUMENT/INVALID_REQUEST unless proxies are chosen either by id or by a filter that narrows."""
    if proxy_ids and chosen.narrows:
        raise invalid_request([Violation("filter", "is set together with proxy_ids; choose by one of them")])
    if not proxy_ids and not chosen.narrows:
        raise invalid_request([Violation("filter", "narrows nothing; set a field of it, or proxy_ids")])


def _selection(chosen: ProxyFilter) -> dict[str, object]:
    """Returns what a filter says, for the record; nothing if proxies were chosen by their ids."""
    values = {
        "country": chosen.country,
        "provider": chosen.provider,
        "state": chosen.state.value if chosen.state else "",
        "ip_address": chosen.ip_address,
    }
    said = {name: value for name, value in values.items() if value}
    return {"filter": said} if said else {}
