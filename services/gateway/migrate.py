"""Brings the schema `clicks` up to date."""

import asyncio

from libs.common.postgres import database
from libs.common.postgres.migrate import migrate
from libs.common.process import logs
from services.gateway.settings import GatewaySettings

log = logs.get(__name__)


async def apply(config: GatewaySettings, _stop: asyncio.Event) -> None:
    """Applies the migrations that are missing."""
    with database.translating_start():
        applied = await migrate(str(config.database_url), schema="clicks", package="services.gateway.db.migrations")
    log.info("migrate.done", applied=list(applied))
