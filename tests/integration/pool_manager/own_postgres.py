"""A PostgreSQL for one test, in a process of its own, that can be restarted and killed.

gRPC does not bear a fork with code of ours in the child, which is how the server is started; so a process without gRPC
does that, told by lines on its standard input: `restart`, `crash`.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from local.postgres import temporary_postgres

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


def main() -> None:
    with temporary_postgres() as server:
        print(server.url(), flush=True)
        for line in sys.stdin:
            if line == "crash\n":
                server.kill()
                server.start()
            else:
                server.restart()
            print("done", flush=True)


if __name__ == "__main__":
    main()
