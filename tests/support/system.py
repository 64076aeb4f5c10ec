"""The whole system as `make run` starts it, for acceptance tests: its own ports, its own state, its real processes."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from grpc import aio
from yarl import URL

from clicktrace.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from clicktrace.pool.v1 import pool_pb2, pool_pb2_grpc
from libs.common.rpc import tls
from libs.common.rpc.client import channel
from local.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
ENDED = "the output has ended"
PORTS = ("http", "internal", "grpc", "pool", "tracer", "pool-metrics", "tracer-metrics", "demo", "proxy")

WITHOUT_SHARES = {"POOL_RESERVE": "0"}
"""Shares are judged by a count up to a second old, in which IPs whose cooldown a test has just ended are busy."""

# What a test is about is seldom the cooldown of the tests before it.
_END_COOLDOWNS = """
UPDATE pool.proxies SET available_at = clock_timestamp()
WHERE pool.state_of(drained, is_healthy, ending, expires_at, available_at, clock_timestamp()) = 'cooldown'
"""


@contextmanager
def state_directory() -> Iterator[Path]:
    """Gives a directory that PostgreSQL may enter though the tests run as root, and removes it afterwards."""
    with tempfile.TemporaryDirectory(prefix="clicktrace-system-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        yield Path(directory) / "state"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a visitor got."""

    status: int
    headers: Mapping[str, str]
    seconds: float

    @property
    def location(self) -> str:
        """Where the visitor is sent."""
        return self.headers["Location"]

    @property
    def params(self) -> dict[str, str]:
        """The parameters of the location, as they stand; of twins the last one."""
        pairs = (pair.partition("=") for pair in urlsplit(self.location).query.split("&"))
        return {name: value for name, _, value in pairs}

    @property
    def click_id(self) -> str:
        """The id of the click."""
        return self.headers["X-Request-Id"]


class Clickable:
    """A gateway that listens somewhere, as visitors and operators meet it."""

    ports: dict[str, int]
    """At least "http" and "grpc"."""

    def _channel(self, port: str) -> aio.Channel:
        """Opens a channel as an operator."""
        return channel(f"dns:///127.0.0.1:{self.ports[port]}")

    async def click(
        self, query: str, *, method: str = "GET", headers: dict[str, str] | None = None, path: str = "/track-hit"
    ) -> Answer:
        """Clicks as a browser would, without following the redirect; the query travels as it stands."""
        clock = asyncio.get_running_loop().time
        began = clock()
        url = URL(f"http://127.0.0.1:{self.ports['http']}{path}?{query}", encoded=True)
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, allow_redirects=False, headers=headers or {}) as response,
        ):
            await response.read()
            return Answer(response.status, response.headers.copy(), clock() - began)

    async def recorded(self, click_id: str) -> gateway_pb2.Click:
        """Returns what the log says of a click."""
        async with self._channel("grpc") as opened:
            stub: Any = gateway_pb2_grpc.ClickLogStub(opened)
            response = await stub.GetClick(gateway_pb2.GetClickRequest(click_id=click_id), wait_for_ready=True)
        click: gateway_pb2.Click = response.click
        return click

    async def ended(self, click_id: str, *, seconds: float = 60) -> gateway_pb2.Click:
        """Returns what the log says of a click once its trace is over."""
        async with asyncio.timeout(seconds):
            while not (click := await self.recorded(click_id)).HasField("end_time"):
                await asyncio.sleep(0.05)
        return click

    async def recorded_when(
        self, click_id: str, accept: Callable[[gateway_pb2.Click], bool], *, seconds: float = 30
    ) -> gateway_pb2.Click:
        """Returns what the log says of a click once it says what is wanted; also where it is not there at first."""
        seen: object = None
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        seen = click = await self.recorded(click_id)
                        if accept(click):
                            return click
                    except aio.AioRpcError as error:
                        seen = error.details()
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"not as wanted: {seen}") from None


@dataclass
class System(Clickable):
    """The running system; a context manager that starts it and stops it by Ctrl-C."""

    state: Path
    options: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=lambda: dict(zip(PORTS, free_ports(len(PORTS)), strict=True)))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *, seconds: float = 60) -> None:
        """Starts the system and returns when it is ready to click; AssertionError with its output if it is not."""
        ports = [part for name, port in self.ports.items() for part in (f"--{name}-port", str(port))]
        self.output: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "local",
                "--stop-with-parent",
                "--state-dir",
                str(self.state),
                *ports,
                *self.options,
            ],
            cwd=ROOT,
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.wait_for("Ctrl-C", seconds=seconds)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.output.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, pattern: str, *, seconds: float = 30) -> str:
        """Waits for a line of output that matches, and returns it; AssertionError with all output if none comes."""
        seen = 0

        def found() -> str | None:
            nonlocal seen
            while seen < len(self.output):
                seen += 1
                if re.search(pattern, self.output[seen - 1]):
                    return self.output[seen - 1]
            return None

        with self._changed:
            line = self._changed.wait_for(lambda: found() or (self._ended and ENDED), seconds)
        if not line or line == ENDED:
            raise AssertionError("\n".join([f"no line like {pattern!r} in:", *self.output]))
        return str(line)

    def stop(self, *, number: int = signal.SIGINT, seconds: float = 30) -> int:
        """Stops the system by a signal and returns its exit status; TimeoutExpired if it does not end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        finally:
            self.process.kill()
            self._reader.join()
            if self.process.stdout is not None:
                self.process.stdout.close()

    def _channel(self, port: str) -> aio.Channel:
        """Opens a channel as an operator."""
        files = tls.Files(self.state / "tls" / "operator") if "--tls" in self.options else None
        return channel(f"dns:///127.0.0.1:{self.ports[port]}", files=files)

    def give_visitors_of(self, offer: str, *, seconds: int) -> None:
        """Lets visitors of one offer wait longer than the system's own `--max-wait`."""
        request = gateway_pb2.UpdateOfferRequest(
            offer=gateway_pb2.Offer(name=offer, max_wait=Duration(seconds=seconds)),
            update_mask=FieldMask(paths=["max_wait"]),
        )
        with grpc.insecure_channel(f"127.0.0.1:{self.ports['grpc']}") as opened:
            gateway_pb2_grpc.OfferAdminStub(opened).UpdateOffer(request, timeout=10)

    async def status(self) -> pool_pb2.PoolStatus:
        """Counts the pool."""
        async with self._channel("pool") as opened:
            stub: Any = pool_pb2_grpc.PoolAdminStub(opened)
            response = await stub.GetPoolStatus(pool_pb2.GetPoolStatusRequest(), wait_for_ready=True)
        total: pool_pb2.PoolStatus = response.total
        return total

    async def rested(self, *, seconds: float = 60) -> int:
        """Ends the cooldowns that run, waits until no IP is in use either, and returns how many IPs there are."""
        connection = await asyncpg.connect((self.state / "database-url").read_text().strip())
        try:
            async with asyncio.timeout(seconds):
                while (status := await self.status()).available != status.total:
                    await connection.execute(_END_COOLDOWNS)
        finally:
            await connection.close()
        return status.total
