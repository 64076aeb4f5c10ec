"""The pool manager's server with an empty method beside it, for `bench.pool`: the floor of what a call can cost.

`python -m bench.world.pool_server DATABASE_URL COOLDOWN` prints its port and serves until it is ended.
"""

import asyncio
import sys
from functools import partial
from typing import Any

import grpc
from grpc import aio

from clicktrace.pool.v1 import pool_pb2_grpc
from libs.common.postgres import database
from libs.common.process import lifecycle, logs
from libs.common.process.supervisor import Supervisor
from libs.common.process.values import Address
from libs.common.rpc.server import Server, Service
from services.pool_manager.capacity.maintenance import Tally
from services.pool_manager.db.leases import PostgresLeases
from services.pool_manager.db.listen import follow_freed
from services.pool_manager.db.pool import PostgresPool
from services.pool_manager.inventory.credentials import Credentials
from services.pool_manager.leasing.fair_share import Shares
from services.pool_manager.leasing.service import Leasing
from services.pool_manager.metrics import PoolMetrics
from services.pool_manager.rpc import pool_manager
from services.pool_manager.rpc.pool_manager import PoolManagerServicer

EMPTY = "bench.Empty"


def add_empty(server: aio.Server) -> None:
    """Registers the method that does nothing."""

    async def call(_request: bytes, _context: Any) -> bytes:
        return b""

    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(call)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(EMPTY, {"Call": handler}),))


async def serve(url: str, cooldown: float, stop: asyncio.Event) -> None:
    """Serves until `stop` is set; `cooldown` in seconds."""
    connections = await database.connect_pool(url, application_name="bench")
    store = PostgresLeases(url, cooldown=cooldown, failure_limit=1000)
    pool = PostgresPool(connections, cooldown=cooldown, retention=86_400)
    shares = Shares(pool, weights={}, reserve=0.0)
    async with (
        Leasing(store, Tally(pool), PoolMetrics(), shares, max_waiting=10_000) as leasing,
        Supervisor().running("listen", partial(follow_freed, url, leasing.freed)),
    ):
        manager = PoolManagerServicer(leasing, Credentials(None))
        services = [
            Service(pool_manager.FULL_NAME, lambda to: pool_pb2_grpc.add_PoolManagerServicer_to_server(manager, to)),
            Service(EMPTY, add_empty),
        ]
        async with Server(Address("127.0.0.1", 0), services, reflection=False, grace=0.0) as server:
            # As services.pool_manager.main does.
            lifecycle.tune_garbage_collection()
            print(server.port, flush=True)
            await stop.wait()
    store.close()
    await connections.close()


if __name__ == "__main__":
    logs.setup("bench", "json", "error")
    lifecycle.run(lambda stop: serve(sys.argv[1], float(sys.argv[2]), stop))
