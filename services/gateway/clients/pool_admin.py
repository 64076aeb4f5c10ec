"""The maintenance of the pool, asked of a pool manager in the name of the operator who asks us."""

from grpc import aio

from clicktrace.pool.v1 import pool_pb2 as pb
from clicktrace.pool.v1 import pool_pb2_grpc
from libs.common.rpc import status
from services.gateway.model import PoolUpkeep

_TIMEOUT = 30.0


class PoolMaintenance:
    """Asks the pool managers behind one channel."""

    def __init__(self, channel: aio.Channel) -> None:
        """Works on a channel that its owner closes."""
        self._stub = pool_pb2_grpc.PoolAdminStub(channel)

    async def run(self, authorization: str) -> PoolUpkeep:
        """Has the work of a minute done now. Raises as PoolAdmin.RunMaintenance does.

        `authorization` is what the operator has shown, handed on as it is: the pool manager decides for itself.
        """
        metadata = (("authorization", authorization),) if authorization else ()
        try:
            done = await self._stub.RunMaintenance(pb.RunMaintenanceRequest(), timeout=_TIMEOUT, metadata=metadata)
        except aio.AioRpcError as error:
            raise status.from_rpc_error(error) from None
        return PoolUpkeep(
            statistics_rows=done.statistics_rows,
            expired_leases=done.expired_leases,
            deleted_rows=done.deleted_rows,
            findings=tuple(done.findings),
            skipped=done.skipped,
        )
