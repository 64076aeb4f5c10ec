"""The gRPC service PoolAdmin, for operators."""

from collections.abc import AsyncIterator
from typing import Any

from grpc import aio

from clicktrace.pool.v1 import pool_pb2, pool_pb2_grpc
from libs.common.errors import Violation, invalid_request
from libs.common.process.values import Address
from libs.common.rpc.auth import actor, require_operator
from libs.common.rpc.times import to_timestamp
from services.pool_manager import validation
from services.pool_manager.inventory.provisioning import check_specs
from services.pool_manager.inventory.service import Operating, PoolStore, check_selection
from services.pool_manager.inventory.watch import watch
from services.pool_manager.model.errors import not_held
from services.pool_manager.model.leases import LeaseToken, NotHeld
from services.pool_manager.model.operations import AuditEntry
from services.pool_manager.rpc import codec

FULL_NAME = pool_pb2.DESCRIPTOR.services_by_name["PoolAdmin"].full_name

Context = aio.ServicerContext[Any, Any]

_NEWEST = 2**63 - 1
_WATCH_INTERVAL = (0.1, 60.0)


class PoolAdminServicer(pool_pb2_grpc.PoolAdminServicer):
    """Serves operators; calls that change something need the operator token, if there is one."""

    def __init__(self, store: PoolStore, *, own_address: Address, operator_token: str) -> None:
        """Serves the pool in `store`; `own_address` is where this server listens."""
        self._store = store
        self._operating = Operating(store)
        self._own_address = own_address
        self._operator_token = operator_token

    async def ProvisionProxies(
        self, request: pool_pb2.ProvisionProxiesRequest, context: Context
    ) -> pool_pb2.ProvisionProxiesResponse:
        """Adds proxies."""
        actor = self._operator(context)
        specs = check_specs([codec.proxy_spec(spec) for spec in request.proxies], self._own_address)
        done = await self._store.provision(specs, None if request.dry_run else AuditEntry(actor, "PROVISION", {}))
        return pool_pb2.ProvisionProxiesResponse(created=done.created, updated=done.updated, unchanged=done.unchanged)

    async def ListProxies(
        self, request: pool_pb2.ListProxiesRequest, _context: Context
    ) -> pool_pb2.ListProxiesResponse:
        """Lists proxies by id."""
        violations: list[Violation] = []
        chosen = codec.proxy_filter(violations, request.filter)
        size, after = validation.page(violations, request.page_size, request.page_token, 0)
        _raise(violations)
        page = await self._store.proxies(chosen, after=after, count=size)
        full = len(page.proxies) == size
        return pool_pb2.ListProxiesResponse(
            proxies=[codec.proxy_info(info) for info in page.proxies],
            next_page_token=str(page.proxies[-1].proxy_id) if full else "",
            db_time=to_timestamp(page.db_time),
        )

    async def UpdateProxies(
        self, request: pool_pb2.UpdateProxiesRequest, context: Context
    ) -> pool_pb2.UpdateProxiesResponse:
        """Drains, enables, or resets the health of proxies."""
        actor = self._operator(context)
        violations: list[Violation] = []
        chosen = codec.proxy_filter(violations, request.filter)
        action = codec.proxy_action(violations, request.action)
        _raise(violations)
        check_selection(request.proxy_ids, chosen)
        matched, changed = await self._operating.update(
            actor, request.proxy_ids, chosen, action, dry_run=request.dry_run
        )
        return pool_pb2.UpdateProxiesResponse(matched=matched, changed=changed)

    async def DeleteProxies(
        self, request: pool_pb2.DeleteProxiesRequest, context: Context
    ) -> pool_pb2.DeleteProxiesResponse:
        """Removes proxies."""
        actor = self._operator(context)
        violations: list[Violation] = []
        chosen = codec.proxy_filter(violations, request.filter)
        _raise(violations)
        check_selection(request.proxy_ids, chosen)
        deleted, revoked = await self._operating.delete(
            actor, request.proxy_ids, chosen, revoke=request.revoke_leases, dry_run=request.dry_run
        )
        return pool_pb2.DeleteProxiesResponse(deleted=deleted, revoked=revoked)

    async def GetPoolStatus(
        self, request: pool_pb2.GetPoolStatusRequest, _context: Context
    ) -> pool_pb2.GetPoolStatusResponse:
        """Counts the pool by state."""
        return codec.status_response(await self._store.status(_country(request.country)))

    async def ListLeases(self, request: pool_pb2.ListLeasesRequest, _context: Context) -> pool_pb2.ListLeasesResponse:
        """Lists leases, newest first."""
        violations: list[Violation] = []
        chosen = codec.lease_filter(violations, request)
        size, before = validation.page(violations, request.page_size, request.page_token, _NEWEST)
        _raise(violations)
        page = await self._store.leases(chosen, before=before, count=size)
        return pool_pb2.ListLeasesResponse(
            leases=[codec.lease_info(info) for info in page.leases],
            next_page_token=str(page.leases[-1].token.fence) if len(page.leases) == size else "",
            db_time=to_timestamp(page.db_time),
        )

    async def RevokeLease(self, request: pool_pb2.RevokeLeaseRequest, context: Context) -> pool_pb2.RevokeLeaseResponse:
        """Revokes a live lease."""
        actor = self._operator(context)
        if not request.lease_id:
            raise invalid_request([Violation("lease_id", "is empty")])
        token = LeaseToken.parse(request.lease_id)
        if token is None:
            raise not_held(NotHeld.UNKNOWN)
        done = await self._operating.revoke(actor, token, dry_run=request.dry_run)
        return pool_pb2.RevokeLeaseResponse(
            revoked=done.revoked,
            available_time=None if done.available_at is None else to_timestamp(done.available_at),
        )

    async def RunMaintenance(
        self, request: pool_pb2.RunMaintenanceRequest, context: Context
    ) -> pool_pb2.RunMaintenanceResponse:
        """Runs maintenance now."""
        self._operator(context)
        done, findings = await self._operating.maintain(forced=True, dry_run=request.dry_run)
        return pool_pb2.RunMaintenanceResponse(
            statistics_rows=done.statistics_rows,
            expired_leases=done.expired_leases,
            deleted_rows=done.deleted_rows,
            findings=findings,
            skipped=done.skipped,
        )

    async def ListStatistics(
        self, request: pool_pb2.ListStatisticsRequest, _context: Context
    ) -> pool_pb2.ListStatisticsResponse:
        """Lists statistics rows, newest first."""
        violations: list[Violation] = []
        country = codec.country(violations, request.country)
        size, before = validation.page(violations, request.page_size, request.page_token, _NEWEST)
        _raise(violations)
        rows = await self._store.statistics(country, codec.moment(request, "since"), before=before, count=size)
        return pool_pb2.ListStatisticsResponse(
            statistics=[codec.statistics(row) for row in rows],
            next_page_token=str(rows[-1].row_id) if len(rows) == size else "",
        )

    async def EstimatePoolSize(
        self, request: pool_pb2.EstimatePoolSizeRequest, _context: Context
    ) -> pool_pb2.EstimatePoolSizeResponse:
        """Computes the number of IPs that a load needs."""
        load, result = await self._operating.estimate(
            _country(request.country), codec.partial_load(request), added_ips=request.added_ips
        )
        return codec.estimate_response(request, load, result)

    async def WatchPool(
        self, request: pool_pb2.WatchPoolRequest, _context: Context
    ) -> AsyncIterator[pool_pb2.WatchPoolResponse]:
        """Streams the pool, and then its changes."""
        violations: list[Violation] = []
        country = codec.country(violations, request.country)
        interval = codec.span(request, "interval")
        interval = validation.check_span(violations, "interval", 1.0 if interval is None else interval, _WATCH_INTERVAL)
        _raise(violations)
        async for change in watch(self._store, country, interval):
            yield pool_pb2.WatchPoolResponse(
                status=codec.status_response(change.status),
                proxies=[codec.proxy_info(info) for info in change.proxies],
                deleted_proxy_ids=change.deleted,
            )

    def _operator(self, context: Context) -> str:
        """Checks the operator token; returns the name of the caller."""
        require_operator(context, self._operator_token)
        return actor(context)


def _country(value: str) -> str:
    violations: list[Violation] = []
    code = codec.country(violations, value)
    _raise(violations)
    return code


def _raise(violations: list[Violation]) -> None:
    if violations:
        raise invalid_request(violations)
