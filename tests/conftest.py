"""What many tests need: a real PostgreSQL, and a fresh database of it for each test.

The server starts once for each test process. The services' migrations run once into a template; each test gets a clone
of that, which takes some 20 ms.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import asyncpg
import pytest
from hypothesis import HealthCheck, settings

from libs.common.postgres.migrate import migrate
from local.postgres.server import EmbeddedPostgres, temporary_postgres

SCHEMAS = {"pool": "services.pool_manager.db.migrations", "clicks": "services.gateway.db.migrations"}

# How fast a machine is that has other things to do says nothing about a property.
settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Databases:
    """Makes databases on the server of this test process."""

    server: EmbeddedPostgres

    async def create(self, template: str) -> str:
        """Creates a database as a copy of `template` and returns its name."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        connection = await asyncpg.connect(self.server.url())
        try:
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY wal_log')
        finally:
            await connection.close()
        return name

    async def drop(self, name: str) -> None:
        """Drops a database, and whoever is still connected to it."""
        connection = await asyncpg.connect(self.server.url())
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
def template(postgres: EmbeddedPostgres) -> str:
    """Migrates a template database once, and returns its name."""

    async def build() -> str:
        name = await Databases(postgres).create("template1")
        for schema, package in SCHEMAS.items():
            await migrate(postgres.url(name), schema=schema, package=package)
        return name

    # In a thread of its own, because the loop of a test may run already in this one.
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, build()).result()


@pytest.fixture
async def database(postgres: EmbeddedPostgres, template: str) -> AsyncIterator[str]:
    """Makes a migrated database for one test and returns its URL."""
    databases = Databases(postgres)
    name = await databases.create(template)
    yield postgres.url(name)
    await databases.drop(name)


@pytest.fixture
async def empty_database(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """Makes an empty database for one test and returns its URL."""
    databases = Databases(postgres)
    name = await databases.create("template1")
    yield postgres.url(name)
    await databases.drop(name)
