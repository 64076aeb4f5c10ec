"""The pool manager's server with an empty method beside it, for `bench.pool`: the floor of what a call can cost.

`python -m bench.pool_server DATABASE_URL COOLDOWN` prints its port and serves until it is ended.
"""

import asyncio
import sys
from typing import Any

import grpc
from grpc import aio

from libs.common import database, lifecycle, logs
from libs.common.pb.clicktrace.pool.v1 import pool_pb2_grpc
from libs.common.rpc.server import Server, Service
from libs.common.settings import Address
from services.pool_manager import servicer
from services.pool_manager.credentials import Credentials
from services.pool_manager.lease_store import PostgresLeases
from services.pool_manager.leasing import Leasing
from services.pool_manager.listening import listening
from services.pool_manager.maintenance import Tally
from services.pool_manager.pool_store import PostgresPool
from services.pool_manager.servicer import PoolManagerServicer

EMPTY = "bench.Empty"


def add_empty(server: aio.Server) -> None:
    """Registers the method that does nothing."""

    async def call(_request: bytes, _context: Any) -> bytes:
        return b""

    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(call)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(EMPTY, {"Call": handler}),))


async def serve(url: str, cooldown: float, stop: asyncio.Event) -> None:
    """Serves until `stop` is set."""
    connections = await database.connect_pool(url, application_name="bench")
    store = PostgresLeases(url, cooldown=cooldown, failure_limit=1000)
    tally = Tally(PostgresPool(connections, cooldown=cooldown, retention=86_400))
    async with Leasing(store, tally, max_waiting=10_000) as leasing, listening(url, leasing.freed):
        manager = PoolManagerServicer(leasing, Credentials(None))
        services = [
            Service(servicer.FULL_NAME, lambda to: pool_pb2_grpc.add_PoolManagerServicer_to_server(manager, to)),
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
