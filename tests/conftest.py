"""What many tests need: a real PostgreSQL, and a database of it that nobody has used.

The server starts once for each test process. The services' migrations run once into a template. A database that a test
leaves behind is emptied, which takes a few milliseconds, and serves the next test; it is dropped instead if the test
changed more than rows. A copy of the template takes 100 ms, so there is one only where no emptied database is at hand.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck, settings

from libs.common.postgres.migrate import migrate
from local.postgres.server import EmbeddedPostgres, temporary_postgres

SCHEMAS = {"pool": "services.pool_manager.db", "clicks": "services.gateway.db"}

# How fast a machine is that has other things to do says nothing about a property.
settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Databases:
    """Makes databases on the server of this test process, and keeps emptied ones."""

    server: EmbeddedPostgres
    template: str
    _emptied: list[str] = field(default_factory=list)

    async def take(self) -> str:
        """Returns the name of a migrated database without rows."""
        return self._emptied.pop() if self._emptied else await create(self.server, self.template)

    async def give_back(self, name: str) -> None:
        """Empties a database for the next test; drops it if it cannot be as new."""
        connection = await asyncpg.connect(self.server.url(name))
        try:
            is_as_new = await connection.fetchval("SELECT reuse.empty_database()")
        finally:
            await connection.close()
        if is_as_new:
            self._emptied.append(name)
        else:
            await drop(self.server, name)


async def create(server: EmbeddedPostgres, template: str) -> str:
    """Creates a database as a copy of `template` and returns its name."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    connection = await asyncpg.connect(server.url())
    try:
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY wal_log')
    finally:
        await connection.close()
    return name


async def drop(server: EmbeddedPostgres, name: str) -> None:
    """Drops a database, and whoever is still connected to it."""
    connection = await asyncpg.connect(server.url())
    try:
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """Runs a PostgreSQL for this test process."""
    with temporary_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def databases(postgres: EmbeddedPostgres) -> Databases:
    """Migrates a template database once, and lends copies of it."""

    async def build() -> str:
        name = await create(postgres, "template1")
        for schema, package in SCHEMAS.items():
            await migrate(postgres.url(name), schema=schema, package=package)
        connection = await asyncpg.connect(postgres.url(name))
        try:
            await connection.execute((Path(__file__).parent / "support" / "reuse.sql").read_text())
        finally:
            await connection.close()
        return name

    # In a thread of its own, because the loop of a test may run already in this one.
    with ThreadPoolExecutor(1) as executor:
        return Databases(postgres, executor.submit(asyncio.run, build()).result())


@pytest.fixture
async def database(databases: Databases) -> AsyncIterator[str]:
    """Lends a migrated database without rows to one test and returns its URL."""
    name = await databases.take()
    yield databases.server.url(name)
    await databases.give_back(name)


@pytest.fixture
async def empty_database(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """Makes a database without any schema for one test and returns its URL."""
    name = await create(postgres, "template1")
    yield postgres.url(name)
    await drop(postgres, name)
