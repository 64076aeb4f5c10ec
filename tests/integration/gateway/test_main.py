"""The gateway starts over a database that has what it needs, and says what to do about another."""

import asyncpg
import pytest

from libs.common.postgres.migrate import MigrationError
from tests.integration.gateway.world import world


async def test_it_starts_over_its_schema_and_leaves_a_database_without_it_alone(
    database: str, empty_database: str
) -> None:
    async with world(database) as w:
        assert (await w.get("/track-hit?offer=nobody")).status == 404
    with pytest.raises(MigrationError, match=r"lacks 0001_clicks\.sql, .*: run `python -m services\.gateway migrate`"):
        async with world(empty_database):
            pytest.fail("there is no schema")
    connection = await asyncpg.connect(empty_database)
    try:
        assert await connection.fetchval("SELECT to_regnamespace('clicks')") is None
    finally:
        await connection.close()
