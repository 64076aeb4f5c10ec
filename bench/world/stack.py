"""The whole system in processes of its own, for measurements and for the soak: any number of each service."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import asyncpg

from bench.measure import processes
from bench.measure.report import ROOT
from clicktrace.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from libs.common.postgres.migrate import migrate
from libs.common.rpc.client import channel
from local.ports import free_ports
from local.postgres.server import EmbeddedPostgres
from local.run.readiness import GrpcHealth, HttpOk, Probe

HOST = "127.0.0.1"
SERVICES = ("gateway", "pool_manager", "tracer")
_TIMEOUT = 90.0
_SCHEMAS = {"pool": "services.pool_manager.db", "clicks": "services.gateway.db"}
_PER_NET = 250

Settings = Mapping[str, Mapping[str, str]]
"""The environment of each service, by its name."""


@dataclass
class Instance:
    """One process of a service; it keeps its ports when it is started anew."""

    service: str
    number: int
    port: int
    """Where visitors or other services find it."""
    environment: Mapping[str, str]
    ready: Probe
    logs: Path
    process: asyncio.subprocess.Process | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.service}-{self.number}"

    @property
    def log(self) -> Path:
        """What it said since the first start."""
        return self.logs / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """The number of the process."""
        if self.process is None:
            raise RuntimeError(f"{self.name} does not run")
        return self.process.pid

    async def start(self) -> None:
        """Starts it and returns when it is ready."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bench.world.child", f"services.{self.service}"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, "LOG_FORMAT": "json", **self.environment},
                # The terminal's Ctrl-C is for us alone.
                start_new_session=True,
            )
        ended = asyncio.create_task(self.process.wait())
        ready = asyncio.create_task(self.ready.wait())
        await asyncio.wait({ended, ready}, timeout=_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done() or ended.done():
            ready.cancel()
            raise RuntimeError(f"{self.name} does not start: see {self.log}")
        ended.cancel()

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends it by a signal and returns its exit status."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        if process.returncode is None:
            process.send_signal(number)
        try:
            async with asyncio.timeout(_TIMEOUT):
                return await process.wait()
        except TimeoutError:
            process.kill()
            raise


@dataclass
class Stack:
    """The running system."""

    url: str
    network_port: int
    network_pid: int
    postgres_pid: int
    instances: list[Instance] = field(default_factory=list)

    def of(self, service: str) -> list[Instance]:
        """Returns the instances of a service."""
        return [instance for instance in self.instances if instance.service == service]

    def pids(self) -> dict[str, list[int]]:
        """Returns the processes of each part, by its name."""
        parts = {service: [instance.pid for instance in self.of(service)] for service in SERVICES}
        return {**parts, "postgres": processes.family(self.postgres_pid), "network": [self.network_pid]}

    def cpu(self) -> dict[str, float]:
        """Returns the CPU seconds that each part has used so far."""
        return {name: processes.cpu(pids) for name, pids in self.pids().items()}

    def memory(self) -> dict[str, float]:
        """Returns the resident memory of each part in MiB."""
        return {name: processes.memory(pids) for name, pids in self.pids().items()}

    async def provision(self, count: int, *, country: str = "us", port: int | None = None, net: int = 10) -> None:
        """Adds available proxies in 127.`net`.0.0/16; on another port than the network's they answer nobody."""
        addresses = [f"127.{net}.{number // _PER_NET}.{number % _PER_NET + 1}" for number in range(count)]
        async with self.connection() as connection:
            await connection.execute(
                "INSERT INTO pool.proxies (ip_address, ip_port, country, available_at)"
                " SELECT address, $2, $3, now() - interval '1 hour' FROM unnest($1::text[]) AS address",
                addresses,
                port or self.network_port,
                country,
            )
            await connection.execute("VACUUM ANALYZE pool.proxies")

    async def offer(self, name: str, path: str, **fields: object) -> None:
        """Creates an offer whose chain begins at a path of the network."""
        offer = gateway_pb2.Offer(name=name, tracking_url=f"http://start.test{path}", **fields)  # type: ignore[arg-type]
        grpc_address = self.of("gateway")[0].environment["GATEWAY_GRPC_LISTEN"]
        async with channel(grpc_address) as opened:
            stub = gateway_pb2_grpc.OfferAdminStub(opened)
            await stub.CreateOffer(gateway_pb2.CreateOfferRequest(offer=offer), wait_for_ready=True)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """Lends a connection to the database."""
        connection = await asyncpg.connect(self.url)
        try:
            yield connection
        finally:
            await connection.close()


@dataclass(frozen=True)
class Shape:
    """How many of each service."""

    gateways: int = 1
    pool_managers: int = 1
    tracers: int = 1


class Network:
    """The process of proxies and chains; a context manager."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.world.child", "bench.world.network"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._process.stdout is None:
            raise AssertionError("stdout is a pipe")
        self.pid = self._process.pid
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()


@asynccontextmanager
async def running(
    postgres: EmbeddedPostgres, network: Network, logs: Path, shape: Shape, settings: Settings
) -> AsyncIterator[Stack]:
    """Runs the system over an empty database of its own while the block runs."""
    if postgres.pid is None:
        raise RuntimeError("PostgreSQL must run")
    name = f"bench_{free_ports(1)[0]}"
    admin = await asyncpg.connect(postgres.url())
    await admin.execute(f"CREATE DATABASE {name}")
    await admin.close()
    url = postgres.url(name)
    for schema, package in _SCHEMAS.items():
        await migrate(url, schema=schema, package=package)
    stack = Stack(url, network.port, network.pid, postgres.pid)
    stack.instances += _instances(stack, logs, shape, settings)
    async with AsyncExitStack() as exits:
        for instance in stack.instances:
            exits.push_async_callback(instance.stop)
        # The gateway wants the others to be there.
        for service in ("tracer", "pool_manager", "gateway"):
            await asyncio.gather(*(instance.start() for instance in stack.of(service)))
        yield stack


def _instances(stack: Stack, logs: Path, shape: Shape, settings: Settings) -> Sequence[Instance]:
    """Describes the processes; each knows the addresses of all that it calls."""
    tracers, pools = free_ports(shape.tracers), free_ports(shape.pool_managers)
    database = {"DATABASE_URL": stack.url}
    instances = []
    for number, port in enumerate(tracers, 1):
        own = {"TRACER_LISTEN": f"{HOST}:{port}", **settings.get("tracer", {})}
        instances.append(Instance("tracer", number, port, own, GrpcHealth(f"{HOST}:{port}"), logs))
    for number, port in enumerate(pools, 1):
        own = {**database, "POOL_LISTEN": f"{HOST}:{port}", **settings.get("pool_manager", {})}
        instances.append(Instance("pool_manager", number, port, own, GrpcHealth(f"{HOST}:{port}"), logs))
    for number in range(1, shape.gateways + 1):
        port, internal, grpc_port = free_ports(3)
        own = {
            **database,
            "GATEWAY_LISTEN": f"{HOST}:{port}",
            "GATEWAY_INTERNAL_LISTEN": f"{HOST}:{internal}",
            "GATEWAY_GRPC_LISTEN": f"{HOST}:{grpc_port}",
            "GATEWAY_POOL_TARGET": _target(pools),
            "GATEWAY_TRACER_TARGET": _target(tracers),
            **settings.get("gateway", {}),
        }
        instances.append(Instance("gateway", number, port, own, HttpOk(f"{HOST}:{internal}", "/readyz"), logs))
    return instances


def _target(ports: Sequence[int]) -> str:
    """Names many addresses as gRPC does; a name in DNS would do the same."""
    return "ipv4:" + ",".join(f"{HOST}:{port}" for port in ports)
