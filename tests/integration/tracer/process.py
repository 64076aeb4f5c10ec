"""The tracer in a process of its own, to be stopped, put to sleep and read."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.tracer.rig import CERTIFICATES, Client

ROOT = Path(__file__).parents[3]


@dataclass
class Process:
    """A tracer in a process of its own."""

    client: Client
    running: asyncio.subprocess.Process
    lines: list[str]

    async def line(self, pattern: str) -> re.Match[str]:
        """Reads on in its log to a line that has this in it."""
        assert self.running.stderr is not None
        while raw := await self.running.stderr.readline():
            self.lines.append(raw.decode())
            if found := re.search(pattern, self.lines[-1]):
                return found
        raise AssertionError(f"no {pattern} in {''.join(self.lines)}")

    async def sleep(self) -> None:
        """Puts the process to sleep while it waits: what is amid a call into libcurl cannot be late at the next one."""
        async with asyncio.timeout(20):
            while True:
                await self._until("S")
                self.running.send_signal(signal.SIGSTOP)
                await self._until("T")
                if _waits(self.running.pid):
                    return
                self.running.send_signal(signal.SIGCONT)

    def wake(self) -> None:
        """Lets the process go on."""
        self.running.send_signal(signal.SIGCONT)

    async def _until(self, state: str) -> None:
        """Waits until every thread of the process is in that state: S for waiting, T for stopped."""
        while _states(self.running.pid) != {state}:
            await asyncio.sleep(0)


def _states(pid: int) -> set[str]:
    """Returns the states of the threads of a process, as the kernel calls them."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks}


def _waits(pid: int) -> bool:
    """Says whether the loop of a stopped process stands in epoll_wait (x86-64 232 and 281, arm64 22)."""
    call = Path(f"/proc/{pid}/syscall").read_text().split()[0]
    return call in {"232", "281", "22"}


@asynccontextmanager
async def tracer(**settings: str) -> AsyncIterator[Process]:
    """Starts `python -m services.tracer` and ends it."""
    environment = {
        "PATH": os.environ["PATH"],
        "LOG_FORMAT": "json",
        "TRACER_LISTEN": "127.0.0.1:0",
        "TRACER_ALLOWED_NETWORKS": "127.0.0.0/8",
        "TRACER_CA_FILE": str(CERTIFICATES / "ca.pem"),
        **settings,
    }
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.tracer", cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE
    )
    process = Process(Client(""), running, [])
    try:
        await process.client.channel.close()
        port = (await process.line(r'"address": "127\.0\.0\.1:(\d+)".*server\.listening'))[1]
        process.client = Client(f"127.0.0.1:{port}")
        yield process
    finally:
        await process.client.channel.close()
        if running.returncode is None:
            running.send_signal(signal.SIGCONT)
            running.kill()
        await running.communicate()
