"""Proves how the service bears a database that falls silent, and callers that give up: errors in time, recovery without
a restart, and no connection more than before.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from grpc import aio

from clicktrace.pool.v1 import pool_pb2 as pb
from libs.common.rpc.status import from_rpc_error
from libs.common.rpc.times import to_duration
from tests.integration.pool_manager.rig import Manager, serve_in_process
from tests.integration.pool_manager.store import Pool


class Relay:
    """A way to the database that can fall silent without a word, as a network does."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def freeze(self) -> None:
        """Lets nothing through; no connection ends."""
        self._open.clear()

    def thaw(self) -> None:
        """Lets everything through again, also what was sent meanwhile."""
        self._open.set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(self._host, self._port)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pass(reader, there_writer))
            group.create_task(self._pass(there_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def relayed(url: str) -> AsyncIterator[tuple[Relay, str]]:
    """Runs a relay to the database at `url`, and yields the URL that leads through it."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    relay = Relay(parts.hostname, parts.port)
    server = await asyncio.start_server(relay.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield relay, urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{port}")))
    finally:
        relay.thaw()
        server.close()


async def test_a_silent_database_is_unavailable_in_time_and_comes_back_by_itself(database: str) -> None:
    async with relayed(database) as (relay, url), serve_in_process(url) as manager:
        await manager.provision(50)
        lease = (await manager.leases.Lease(pb.LeaseRequest(request_id="before"))).lease
        calls: dict[Any, Any] = {
            manager.leases.Lease: pb.LeaseRequest(request_id="during", wait=to_duration(1)),
            manager.leases.Heartbeat: pb.HeartbeatRequest(lease_id=lease.lease_id, fence=lease.fence),
        }
        relay.freeze()
        for call, request in calls.items():
            began = time.monotonic()
            with pytest.raises(aio.AioRpcError) as caught:
                await call(request, timeout=0.4)
            assert from_rpc_error(caught.value).reason == "DATABASE_UNAVAILABLE"
            assert time.monotonic() - began < 0.4
        relay.thaw()
        thawed = time.monotonic()
        for call, request in calls.items():
            while True:
                try:
                    await call(request, timeout=1.0)
                except aio.AioRpcError as error:
                    reason = from_rpc_error(error).reason
                else:
                    break
                assert reason == "DATABASE_UNAVAILABLE"
        assert time.monotonic() - thawed < 5.0


async def test_callers_that_give_up_leak_neither_connections_nor_leases(database: str, pool: Pool) -> None:
    async def connections() -> int:
        count: int = await pool.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE 'pool_manager%'"
        )
        return count

    async with serve_in_process(database, cooldown=0) as manager:
        await manager.provision(20)
        await manager.leases.Lease(pb.LeaseRequest(request_id="first", country="us"))
        before = await connections()
        calls = []
        for number in range(300):
            call = manager.leases.Lease(pb.LeaseRequest(request_id=f"given-up-{number}", wait=to_duration(5)))
            calls.append(call)
            if number % 3 == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(0.02)
        for call in calls:
            call.cancel()
        await asyncio.gather(*(settled(manager, call) for call in calls))
        # The returns of what was granted under way, and one for each connection that carries them.
        async with asyncio.timeout(10):
            while await pool.fetchval("SELECT count(*) FROM ip_rotation_pool WHERE status = 'available'") < 19:
                await asyncio.sleep(0.01)
        assert await connections() <= before + 2


async def settled(manager: Manager, call: "aio.UnaryUnaryCall[pb.LeaseRequest, pb.LeaseResponse]") -> None:
    """Waits for the end of a call; what was answered before the cancel is released."""
    with suppress(asyncio.CancelledError, aio.AioRpcError):
        lease = (await call).lease
        await manager.leases.Release(
            pb.ReleaseRequest(lease_id=lease.lease_id, fence=lease.fence, outcome=pb.CANCELLED)
        )
