"""Fixtures over a real database: the store, a server in this process, and servers in processes of their own."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest

from libs.common.postgres import database as db
from services.pool_manager.db.leases import PostgresLeases
from services.pool_manager.db.pool import PostgresPool
from tests.integration.pool_manager.rig import Manager, serve_in_process

COOLDOWN = 60.0


@pytest.fixture
async def pool(database: str) -> AsyncIterator["asyncpg.Pool[asyncpg.Record]"]:
    """A pool of connections to the database of this test."""
    async with await db.connect_pool(database, application_name="test", max_size=20) as connections:
        yield connections


@pytest.fixture
async def leases(database: str) -> AsyncIterator[PostgresLeases]:
    """The store of leases, with a cooldown of 60 s and quarantine after 3 failures."""
    store = PostgresLeases(database, cooldown=COOLDOWN, failure_limit=3)
    yield store
    store.close()


@pytest.fixture
def admin_store(pool: "asyncpg.Pool[asyncpg.Record]") -> PostgresPool:
    """The store that operators use."""
    return PostgresPool(pool, cooldown=COOLDOWN, retention=86_400)


@pytest.fixture
async def manager(database: str) -> AsyncIterator[Manager]:
    """A server in this process, with clients."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(serve_in_process(database))
