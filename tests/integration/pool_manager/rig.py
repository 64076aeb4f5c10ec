"""Servers to test against: in this process, and as processes that can be killed."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from grpc import aio

from clicktrace.pool.v1 import pool_pb2, pool_pb2_grpc
from libs.common.postgres import database
from libs.common.process.supervisor import Supervisor
from libs.common.process.values import Address
from libs.common.rpc.client import channel
from libs.common.rpc.server import Server, Service
from services.pool_manager.capacity.maintenance import Tally
from services.pool_manager.db.leases import PostgresLeases
from services.pool_manager.db.listen import follow_freed
from services.pool_manager.db.pool import PostgresPool
from services.pool_manager.inventory.credentials import Credentials
from services.pool_manager.leasing.fair_share import Shares
from services.pool_manager.leasing.service import Leasing
from services.pool_manager.metrics import PoolMetrics
from services.pool_manager.model.leases import CooldownPolicy
from services.pool_manager.rpc import pool_admin, pool_manager
from services.pool_manager.rpc.pool_admin import PoolAdminServicer
from services.pool_manager.rpc.pool_manager import PoolManagerServicer

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class Manager:
    """Clients of one server."""

    target: str
    channel: aio.Channel
    leases: "pool_pb2_grpc.PoolManagerAsyncStub"
    admin: "pool_pb2_grpc.PoolAdminAsyncStub"

    @classmethod
    def of(cls, target: str) -> Self:
        """Makes the clients of a server; the channel is to be closed."""
        opened = channel(target)
        return cls(target, opened, pool_pb2_grpc.PoolManagerStub(opened), pool_pb2_grpc.PoolAdminStub(opened))

    async def provision(self, count: int, *, country: str = "us", prefix: str = "proxy") -> None:
        """Adds proxies `PREFIX-COUNTRY-N`."""
        specs = [
            pool_pb2.ProxySpec(ip_address=f"{prefix}-{country}-{number}", ip_port=7000, country=country)
            for number in range(1, count + 1)
        ]
        await self.admin.ProvisionProxies(pool_pb2.ProvisionProxiesRequest(proxies=specs))


@asynccontextmanager
async def serve_in_process(
    url: str,
    *,
    cooldown: float = 60.0,
    failure_limit: int = 3,
    operator_token: str = "",
    credentials_dir: Path | None = None,
    max_waiting: int = 1000,
    weights: Mapping[str, float] | None = None,
    fallbacks: Mapping[str, Sequence[str]] | None = None,
    reserve: float = 0.0,
    policies: Mapping[str, CooldownPolicy] | None = None,
    own_address: Address | None = None,
) -> AsyncIterator[Manager]:
    """Serves over the database at `url` in this process, on a free port."""
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            await database.connect_pool(url, application_name="pool_manager", max_size=4)
        )
        store = PostgresLeases(url, cooldown=cooldown, failure_limit=failure_limit)
        stack.callback(store.close)
        admin_store = PostgresPool(pool, cooldown=cooldown, retention=86_400)
        leasing = await stack.enter_async_context(
            Leasing(
                store,
                Tally(admin_store),
                PoolMetrics(),
                Shares(admin_store, weights=weights or {}, reserve=reserve),
                max_waiting=max_waiting,
                weights=weights,
                fallbacks=fallbacks,
                policies=policies,
            )
        )
        listen = partial(follow_freed, url, leasing.freed)
        await stack.enter_async_context(Supervisor().running("listen", listen))
        address = Address("127.0.0.1", 0)
        manager = PoolManagerServicer(leasing, Credentials(credentials_dir))
        operators = PoolAdminServicer(admin_store, own_address=own_address or address, operator_token=operator_token)
        services = [
            Service(pool_manager.FULL_NAME, lambda to: pool_pb2_grpc.add_PoolManagerServicer_to_server(manager, to)),
            Service(pool_admin.FULL_NAME, lambda to: pool_pb2_grpc.add_PoolAdminServicer_to_server(operators, to)),
        ]
        server = await stack.enter_async_context(Server(address, services, grace=1.0))
        clients = Manager.of(f"127.0.0.1:{server.port}")
        await stack.enter_async_context(clients.channel)
        yield clients


class ManagerProcess:
    """`python -m services.pool_manager serve` as a child process."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, drain: asyncio.Task[None]) -> None:
        self.process = process
        self.port = port
        self._drain = drain

    @classmethod
    async def start(cls, url: str, *, port: int = 0, settings: Mapping[str, str] | None = None) -> Self:
        """Starts a server and returns when it listens; `settings` are environment variables."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("POOL_", "OTEL_"))},
            "DATABASE_URL": url,
            "POOL_LISTEN": f"127.0.0.1:{port}",
            "LOG_FORMAT": "json",
            **(settings or {}),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.pool_manager", "serve",
            cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        if process.stderr is None:
            raise AssertionError("stderr is a pipe")
        log = process.stderr
        seen = []
        async with asyncio.timeout(30):
            async for line in log:
                seen.append(line)
                event = json.loads(line)
                if event["event"] == "server.listening":
                    drain = asyncio.create_task(_drain(log), name="drain-log")
                    return cls(process, int(event["address"].rpartition(":")[2]), drain)
        raise AssertionError(f"pool_manager did not start: {b''.join(seen).decode()}")

    def kill(self) -> None:
        """Ends the process as a crash would."""
        self.process.send_signal(signal.SIGKILL)

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends the process and returns its exit status."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        await self._drain
        return await self.process.wait()


async def _drain(log: asyncio.StreamReader) -> None:
    async for _ in log:
        pass


@asynccontextmanager
async def manager_processes(url: str, count: int, **settings: str) -> AsyncIterator[Sequence[Manager]]:
    """Runs `count` servers as processes over one database, and yields clients of each."""
    async with AsyncExitStack() as stack:
        async with asyncio.TaskGroup() as starting:
            tasks = [starting.create_task(ManagerProcess.start(url, settings=settings)) for _ in range(count)]
        processes = [task.result() for task in tasks]
        for process in processes:
            stack.push_async_callback(process.stop)
        managers = [Manager.of(f"127.0.0.1:{process.port}") for process in processes]
        for manager in managers:
            await stack.enter_async_context(manager.channel)
        yield managers
