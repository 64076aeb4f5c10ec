"""What many tests need: a real PostgreSQL, and a database of it that nobody has used.

The server starts once for each test process. The services' migrations run once into a template. A database that a test
leaves behind is emptied, which takes a few milliseconds, and serves the next test; it is dropped instead if the test
changed more than rows. A copy of the template takes 100 ms, so there is one only where no emptied database is at hand.
"""

import asyncio
import itertools
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
from hypothesis import HealthCheck, settings

from libs.common.postgres.migrate import migrate
from local.postgres.server import EmbeddedPostgres, temporary_postgres

SCHEMAS = {"pool": "services.pool_manager.db", "clicks": "services.gateway.db"}

# How fast a machine is that has other things to do says nothing about a property.
settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")

T = TypeVar("T")

_numbers = itertools.count(1)


class Housekeeper:
    """Connections to the server that outlive the event loop of a test: a new one costs 20 ms of CPU time."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        """Starts a thread with an event loop of its own."""
        self.server = server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="housekeeper", daemon=True)
        self._thread.start()
        self._connections: dict[str, asyncpg.Connection[asyncpg.Record]] = {}

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Has the thread do something and waits for it, in any event loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def do_now(self, work: Coroutine[Any, Any, T]) -> T:
        """Has the thread do something and waits for it, blocking."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def create(self, template: str) -> str:
        """Creates a database as a copy of `template` and returns its name."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        connection = await self._connected("postgres")
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY wal_log')
        return name

    async def drop(self, name: str) -> None:
        """Drops a database, and whoever is still connected to it."""
        if own := self._connections.pop(name, None):
            await own.close()
        connection = await self._connected("postgres")
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    async def empty(self, name: str) -> bool:
        """Empties a database; returns whether it is as new."""
        connection = await self._connected(name)
        return bool(await connection.fetchval("SELECT reuse.empty_database()"))

    def close(self) -> None:
        """Closes all connections and ends the thread."""
        self.do_now(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        for connection in self._connections.values():
            await connection.close()

    async def _connected(self, name: str) -> "asyncpg.Connection[asyncpg.Record]":
        connection = self._connections.get(name)
        if connection is not None:
            try:
                await connection.execute("SELECT")
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                connection = None  # a test ended it, with all others
        if connection is None:
            connection = self._connections[name] = await asyncpg.connect(self.server.url(name))
        return connection


@dataclass(frozen=True, slots=True)
class Databases:
    """Lends databases on the server of this test process, and keeps emptied ones."""

    housekeeper: Housekeeper
    template: str
    _emptied: list[str] = field(default_factory=list)

    async def take(self) -> str:
        """Returns the name of a migrated database without rows."""
        return (
            self._emptied.pop() if self._emptied else await self.housekeeper.do(self.housekeeper.create(self.template))
        )

    async def give_back(self, name: str) -> None:
        """Empties a database for the next test; drops it if it cannot be as new."""
        if await self.housekeeper.do(self.housekeeper.empty(name)):
            self._emptied.append(name)
        else:
            await self.housekeeper.do(self.housekeeper.drop(name))


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """Runs a PostgreSQL for this test process."""
    with temporary_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def housekeeper(postgres: EmbeddedPostgres) -> Iterator[Housekeeper]:
    """Makes and drops databases."""
    housekeeper = Housekeeper(postgres)
    yield housekeeper
    housekeeper.close()


@pytest.fixture(scope="session")
def databases(housekeeper: Housekeeper) -> Databases:
    """Migrates a template database once, and lends copies of it."""

    async def build() -> str:
        name = await housekeeper.create("template1")
        url = housekeeper.server.url(name)
        for schema, package in SCHEMAS.items():
            await migrate(url, schema=schema, package=package)
        connection = await asyncpg.connect(url)
        try:
            await connection.execute((Path(__file__).parent / "support" / "reuse.sql").read_text())
        finally:
            await connection.close()
        return name

    return Databases(housekeeper, housekeeper.do_now(build()))


@pytest.fixture
async def database(databases: Databases) -> AsyncIterator[str]:
    """Lends a migrated database without rows to one test and returns its URL."""
    name = await databases.take()
    yield databases.housekeeper.server.url(name)
    await databases.give_back(name)


@pytest.fixture
async def empty_database(housekeeper: Housekeeper) -> AsyncIterator[str]:
    """Makes a database without any schema for one test and returns its URL."""
    name = await housekeeper.do(housekeeper.create("template1"))
    yield housekeeper.server.url(name)
    await housekeeper.do(housekeeper.drop(name))
