"""A PostgreSQL for one test, in a process of its own, that can be restarted and killed.

gRPC does not bear a fork with code of ours in the child, which is how the server is started; so a process without gRPC
does that, told by lines on its standard input: `restart`, `crash`, `stop`, `start`, `freeze`, `thaw`.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from local.postgres.server import EmbeddedPostgres, temporary_postgres

ROOT = Path(__file__).resolve().parents[3]


class OwnPostgres:
    """The server, from the side of the test."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self._process = process
        self.url = url

    async def restart(self) -> None:
        """Stops it as an operator would, and starts it again."""
        await self._tell("restart")

    async def crash(self) -> None:
        """Kills it, and starts it again; it recovers what was committed."""
        await self._tell("crash")

    async def stop(self) -> None:
        """Stops it, until `start`."""
        await self._tell("stop")

    async def start(self) -> None:
        """Starts it after `stop`, at the same port."""
        await self._tell("start")

    async def freeze(self) -> None:
        """Stops all its processes in their tracks: it takes connections and answers nothing, until `thaw`."""
        await self._tell("freeze")

    async def thaw(self) -> None:
        """Lets its processes go on."""
        await self._tell("thaw")

    async def _tell(self, command: str) -> None:
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("both are pipes")
        self._process.stdin.write(f"{command}\n".encode())
        if await self._process.stdout.readline() != b"done\n":
            raise AssertionError(f"PostgreSQL did not {command}")


@asynccontextmanager
async def own_postgres() -> AsyncIterator[OwnPostgres]:
    """Runs a PostgreSQL while the block runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    if process.stdin is None or process.stdout is None:
        raise AssertionError("both are pipes")
    try:
        yield OwnPostgres(process, (await process.stdout.readline()).decode().strip())
    finally:
        # It ends with its input.
        process.stdin.close()
        await process.stdout.read()
        await process.wait()


def _signal_all(server: EmbeddedPostgres, number: int) -> None:
    """Sends a signal to the server and to all its processes, each of which leads a session of its own."""
    if server.pid is None:
        raise AssertionError("PostgreSQL does not run")
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    for pid in [server.pid, *map(int, children)]:
        os.kill(pid, number)


def _crash(server: EmbeddedPostgres) -> None:
    server.kill()
    server.start()


_COMMANDS: dict[str, Callable[[EmbeddedPostgres], None]] = {
    "restart": EmbeddedPostgres.restart,
    "crash": _crash,
    "stop": EmbeddedPostgres.stop,
    "start": EmbeddedPostgres.start,
    "freeze": lambda server: _signal_all(server, signal.SIGSTOP),
    "thaw": lambda server: _signal_all(server, signal.SIGCONT),
}


def main() -> None:
    with temporary_postgres() as server:
        print(server.url(), flush=True)
        for line in sys.stdin:
            _COMMANDS[line.strip()](server)
            print("done", flush=True)


if __name__ == "__main__":
    main()
