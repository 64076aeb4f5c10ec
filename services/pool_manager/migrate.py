"""Brings the schema `pool` up to date."""

import asyncio

from libs.common.postgres import database
from libs.common.postgres.migrate import migrate
from libs.common.process import logs
from services.pool_manager.settings import PoolSettings

log = logs.get(__name__)


async def apply(config: PoolSettings, _stop: asyncio.Event) -> None:
    """Applies the migrations that are missing."""
    with database.translating_start():
        for name in await migrate(
            str(config.database_url), schema="pool", package="services.pool_manager.db.migrations"
        ):
            log.info("migration.applied", name=name)
