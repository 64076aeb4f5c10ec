"""Brings the schema `clicks` up to date: the one command that changes it."""

import asyncio

from libs.common.postgres import database
from libs.common.postgres.migrate import migrate
from services.gateway.settings import GatewaySettings


async def apply(config: GatewaySettings, _stop: asyncio.Event) -> None:
    """Applies the migrations that are missing, and the functions that have changed."""
    with database.translating_start():
        await migrate(str(config.database_url), schema="clicks", package="services.gateway.db")
