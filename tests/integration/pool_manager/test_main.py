"""The pool manager starts over a database that has what it needs, and says what to do about another."""

import asyncio

import asyncpg
import pytest

from libs.common.postgres.migrate import MigrationError, migrate
from services.pool_manager.main import run
from services.pool_manager.settings import PoolSettings


async def test_it_starts_over_its_schema_and_leaves_an_older_one_alone(empty_database: str) -> None:
    await migrate(empty_database, schema="pool", package="services.pool_manager.db")
    config = PoolSettings.model_validate({"DATABASE_URL": empty_database, "listen": "127.0.0.1:0"})
    stop = asyncio.Event()
    stop.set()
    await run(config, stop)
    connection = await asyncpg.connect(empty_database)
    try:
        await connection.execute("UPDATE pool.functions SET checksum = 'of before' WHERE name = 'pool.lease'")
        with pytest.raises(MigrationError, match=r"lacks pool\.lease: run `python -m services\.pool_manager migrate`"):
            await run(config, stop)
        assert await connection.fetchval("SELECT checksum FROM pool.functions WHERE name = 'pool.lease'") == "of before"
    finally:
        await connection.close()
