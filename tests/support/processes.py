"""One more process of a service beside a running system, to be stopped, killed and frozen by a test."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from local.ports import free_ports
from local.run.readiness import GrpcHealth, HttpOk, Probe
from tests.support.system import Clickable, System

ROOT = Path(__file__).resolve().parents[2]
_PREFIXES = ("GATEWAY_", "POOL_", "TRACER_", "OTEL_")


class ServiceProcess:
    """`python -m services.NAME` as a child process; what it logs is kept."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.log: list[dict[str, Any]] = []
        self._changed = asyncio.Condition()
        self._reading = asyncio.create_task(self._read(), name="read-log")

    @classmethod
    async def start(cls, service: str, settings: Mapping[str, str], ready: Probe, *, seconds: float = 60) -> Self:
        """Starts a service and returns when it is ready; AssertionError with its log if it is not."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIXES)}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"services.{service}",
            cwd=ROOT,
            env={**environment, "LOG_FORMAT": "json", **settings},
            stderr=asyncio.subprocess.PIPE,
        )
        started = cls(process)
        try:
            async with asyncio.timeout(seconds):
                await ready.wait()
        except TimeoutError:
            await started.stop(signal.SIGKILL)
            raise AssertionError(f"{service} is not ready: {started.log}") from None
        return started

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            async with self._changed:
                try:
                    self.log.append(json.loads(line))
                except ValueError:
                    self.log.append({"event": line.decode(errors="replace").rstrip()})
                self._changed.notify_all()

    async def logged(self, event: str, *, seconds: float = 30, **fields: Any) -> dict[str, Any]:
        """Waits until the service has logged an event with these fields, and returns it."""

        def found() -> dict[str, Any] | None:
            wanted = {"event": event, **fields}.items()
            return next((entry for entry in self.log if wanted <= entry.items()), None)

        try:
            async with self._changed, asyncio.timeout(seconds):
                entry = await self._changed.wait_for(found)
        except TimeoutError:
            raise AssertionError(f"no {event} with {fields} in {self.log}") from None
        assert entry is not None
        return entry

    def send(self, number: int) -> None:
        """Sends a signal."""
        self.process.send_signal(number)

    async def ended(self, *, seconds: float = 30) -> int:
        """Waits until the process is gone, and returns its exit status."""
        async with asyncio.timeout(seconds):
            await self._reading
            return await self.process.wait()

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends the process, also a frozen one, and returns its exit status."""
        if self.process.returncode is None:
            self.process.send_signal(number)
            self.process.send_signal(signal.SIGCONT)
        return await self.ended()


@dataclass
class Gateway(Clickable):
    """A gateway beside that of the system, on the same database."""

    service: ServiceProcess
    ports: dict[str, int]

    async def internal(self, path: str) -> int:
        """Asks the internal port, and returns the status."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports["internal"])
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            return int((await reader.readline()).split()[1])
        finally:
            writer.close()


def local_target(port: int) -> str:
    """Names a server on this machine for a channel."""
    return f"dns:///127.0.0.1:{port}"


async def start_gateway(
    system: System, settings: Mapping[str, str] | None = None, ports: Mapping[str, int] | None = None
) -> Gateway:
    """Starts a gateway on the database of a system; `settings` are those of the gateway without their prefix."""
    own = dict(ports or zip(("http", "internal", "grpc"), free_ports(3), strict=True))
    environment = {
        "DATABASE_URL": (system.state / "database-url").read_text().strip(),
        "GATEWAY_LISTEN": f"127.0.0.1:{own['http']}",
        "GATEWAY_INTERNAL_LISTEN": f"127.0.0.1:{own['internal']}",
        "GATEWAY_GRPC_LISTEN": f"127.0.0.1:{own['grpc']}",
        "GATEWAY_POOL_TARGET": local_target(system.ports["pool"]),
        "GATEWAY_TRACER_TARGET": local_target(system.ports["tracer"]),
        **{f"GATEWAY_{name.upper()}": value for name, value in (settings or {}).items()},
    }
    ready = HttpOk(f"127.0.0.1:{own['internal']}", "/readyz")
    return Gateway(await ServiceProcess.start("gateway", environment, ready), own)


@asynccontextmanager
async def gateways(system: System, count: int = 1, **settings: str) -> AsyncIterator[list[Gateway]]:
    """Runs gateways on the database of a system while the block runs."""
    async with AsyncExitStack() as stack:
        started = []
        for _ in range(count):
            gateway = await start_gateway(system, settings)
            stack.push_async_callback(gateway.service.stop, signal.SIGKILL)
            started.append(gateway)
        yield started


async def start_tracer(port: int) -> ServiceProcess:
    """Starts a tracer that may reach the loopback network, as the system's own may."""
    address = f"127.0.0.1:{port}"
    environment = {
        "TRACER_LISTEN": address,
        "TRACER_ALLOWED_NETWORKS": "127.0.0.0/8",
        "TRACER_ALLOWED_HOSTS": ".localhost",
        "TRACER_GRACE": "1s",
    }
    return await ServiceProcess.start("tracer", environment, GrpcHealth(address))


async def start_pool_manager(system: System, port: int, **settings: str) -> ServiceProcess:
    """Starts a pool manager on the database of a system."""
    address = f"127.0.0.1:{port}"
    environment = {
        "DATABASE_URL": (system.state / "database-url").read_text().strip(),
        "POOL_LISTEN": address,
        "POOL_CREDENTIALS_DIR": str(system.state / "credentials"),
        "POOL_GRACE": "1s",
        **{f"POOL_{name.upper()}": value for name, value in settings.items()},
    }
    return await ServiceProcess.start("pool_manager", environment, GrpcHealth(address))
