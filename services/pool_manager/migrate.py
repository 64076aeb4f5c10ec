"""Brings the schema `pool` up to date: the one command that changes it."""

import asyncio

from libs.common.postgres import database
from libs.common.postgres.migrate import migrate
from services.pool_manager.settings import PoolSettings


async def apply(config: PoolSettings, _stop: asyncio.Event) -> None:
    """Applies the migrations that are missing, and the functions that have changed."""
    with database.translating_start():
        await migrate(str(config.database_url), schema="pool", package="services.pool_manager.db")
