"""The runner's end of the fork server: programs that are forked off it, used as asyncio's subprocesses are."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from local.errors import LocalError
from local.run.forkserver import LARGEST_PACKET


class Forked:
    """A process that was forked off; has of `asyncio.subprocess.Process` what the runner uses."""

    def __init__(self, server: "ForkServer", pid: int, stdout: asyncio.StreamReader) -> None:
        self._server = server
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.pid = pid
        self.stdout = stdout

    @property
    def returncode(self) -> int | None:
        """The exit code, -N after signal N; None while it runs."""
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> int:
        """Waits for its end and returns the exit code."""
        return await asyncio.shield(self._ended)

    def send_signal(self, number: int) -> None:
        """Sends a signal; without effect once it has ended."""
        if not self._ended.done():
            self._server.send({"pid": self.pid, "signal": number})

    def end(self, code: int) -> None:
        """Notes that it has ended."""
        if not self._ended.done():
            self._ended.set_result(code)


class ForkServer:
    """Forks programs off a process that has loaded `modules`; see `local.run.forkserver`."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._here, self._there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._here.setblocking(False)
        self._ids = itertools.count()
        self._modules = tuple(modules)
        self._starting: dict[int, tuple[asyncio.Future[Forked], asyncio.StreamReader]] = {}
        self._running: dict[int, Forked] = {}
        self._reading: asyncio.Task[None] | None = None

    @property
    def descriptor(self) -> int:
        """The descriptor that the server's process inherits."""
        return self._there.fileno()

    @property
    def arguments(self) -> Sequence[str]:
        """The arguments of Python for the server's process."""
        return ("-m", "local.run.forkserver", str(self.descriptor), *self._modules)

    def started(self) -> None:
        """Is called when the server's process runs."""
        self._there.close()
        self._reading = asyncio.create_task(self._read(), name="fork server")

    async def spawn(
        self, module: str, arguments: Sequence[str], *, environment: Mapping[str, str], directory: Path
    ) -> Forked:
        """Forks `python -m module arguments` off; LocalError if the fork server is gone."""
        number = next(self._ids)
        reading, writing = os.pipe()
        stdout = asyncio.StreamReader(loop=self._loop)
        forked: asyncio.Future[Forked] = self._loop.create_future()
        self._starting[number] = forked, stdout
        await self._loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdout), os.fdopen(reading, "rb"))
        try:
            self.send(
                {
                    "id": number,
                    "title": " ".join((sys.executable, "-m", module, *arguments)),
                    "module": module,
                    "arguments": list(arguments),
                    "environment": dict(environment),
                    "directory": str(directory),
                },
                writing,
            )
        finally:
            os.close(writing)
        return await forked

    def send(self, message: Mapping[str, Any], *descriptors: int) -> None:
        """Sends a packet; LocalError if the fork server is gone."""
        try:
            socket.send_fds(self._here, [json.dumps(message).encode()], descriptors)
        except OSError as error:
            raise LocalError(f"the fork server does not listen any more: {error}") from None

    async def close(self) -> None:
        """Has the server's process end, and with it whatever it forked."""
        if self._reading:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
        self._here.close()

    async def _read(self) -> None:
        while packet := await self._receive():
            message = json.loads(packet)
            if "id" in message:
                waiting, stdout = self._starting.pop(message["id"])
                forked = self._running[message["pid"]] = Forked(self, message["pid"], stdout)
                if not waiting.done():
                    waiting.set_result(forked)
            else:
                self._running.pop(message["pid"]).end(message["code"])
        for forked in self._running.values():
            forked.end(-signal.SIGKILL)
        for waiting, _ in self._starting.values():
            if not waiting.done():
                waiting.set_exception(LocalError("the fork server ended"))

    async def _receive(self) -> bytes:
        try:
            return await self._loop.sock_recv(self._here, LARGEST_PACKET)
        except ConnectionResetError:  # it ended with a packet unread
            return b""
