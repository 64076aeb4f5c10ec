"""Changes are heard at once; where some may have been missed, whoever follows is told to look."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import pytest

from libs.common.postgres.listen import MISSED, Notification, follow
from libs.common.process.supervisor import Supervisor


class Follower:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Notification] = asyncio.Queue()
        self.fails = False

    async def handle(self, notification: Notification) -> None:
        if self.fails and notification is not MISSED:
            self.fails = False
            raise ValueError("a bug")
        self.heard.put_nowait(notification)

    async def next(self) -> Notification:
        async with asyncio.timeout(10):
            return await self.heard.get()

    @asynccontextmanager
    async def following(self, url: str) -> AsyncIterator[None]:
        """Follows two channels, as a service does it."""
        channels = ["first", "second"]
        async with Supervisor().running("listen", lambda: follow(url, channels, self.handle, application_name="test")):
            yield


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_messages_are_heard_in_their_order_after_a_first_look(database: str) -> None:
    follower = Follower()
    async with follower.following(database):
        assert await follower.next() is MISSED
        await execute(database, "NOTIFY first, 'one'; NOTIFY third, 'nobody'; NOTIFY second, 'two'")
        assert [await follower.next(), await follower.next()] == [
            Notification("first", "one"),
            Notification("second", "two"),
        ]


async def test_a_connection_that_was_lost_is_made_anew_and_what_was_missed_is_looked_for(database: str) -> None:
    follower = Follower()
    async with follower.following(database):
        assert await follower.next() is MISSED
        await execute(
            database,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'test-listen' AND datname = current_database()",
        )
        assert await follower.next() is MISSED
        await execute(database, "NOTIFY first, 'again'")
        assert await follower.next() == Notification("first", "again")


async def test_a_handler_that_raises_ends_the_connection_and_the_supervisor_starts_again(database: str) -> None:
    follower = Follower()
    async with follower.following(database):
        assert await follower.next() is MISSED
        follower.fails = True
        await execute(database, "NOTIFY first, 'unheard'")
        assert await follower.next() is MISSED
        await execute(database, "NOTIFY first, 'heard'")
        assert await follower.next() == Notification("first", "heard")
    connection = await asyncpg.connect(database)
    try:
        async with asyncio.timeout(10):
            while await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE application_name = 'test-listen' AND datname = current_database()"
            ):
                await asyncio.sleep(0.01)
    finally:
        await connection.close()


@asynccontextmanager
async def pooler(url: str) -> AsyncIterator[str]:
    """Stands before a server as a pooler does: with process ids of its own."""
    parts = urlsplit(url)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, forge: bool) -> None:
        while data := await reader.read(65536):
            # BackendKeyData: its length, then the process id.
            writer.write(
                re.sub(rb"K\x00\x00\x00\x0c.{4}", b"K\0\0\0\x0c\0\0\0\1", data, flags=re.DOTALL) if forge else data
            )
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to = await asyncio.open_connection(parts.hostname, parts.port)
        await asyncio.gather(pump(reader, to, forge=False), pump(there, writer, forge=True), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield url.replace(f":{parts.port}/", f":{server.sockets[0].getsockname()[1]}/")


async def test_through_a_pooler_changes_are_looked_for(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    follower = Follower()
    async with pooler(database) as url, follower.following(url):
        assert [await follower.next(), await follower.next()] == [MISSED, MISSED]
    assert "listen.pooler" in capsys.readouterr().out
