"""What is kept of a visitor is what the setting says."""

import asyncpg
import pytest

from tests.integration.gateway.world import world


@pytest.mark.parametrize(
    ("policy", "address", "agent"),
    [("truncated", "127.0.0.0", "Mozilla/5.0"), ("none", "", ""), ("hashed", None, None)],
)
async def test_personal_data_is_kept_only_as_the_setting_says(
    database: str, policy: str, address: str | None, agent: str | None
) -> None:
    async with world(database, personal_data=policy) as w:
        await w.offer()
        await w.click("offer=demo&gclid=1", "User-Agent: Mozilla/5.0 (X11; marker) Gecko")
        connection = await asyncpg.connect(database)
        row = await connection.fetchrow("SELECT visitor_address, user_agent FROM clicks.clicks")
        assert row is not None
        dump = str(await connection.fetch("SELECT * FROM clicks.clicks"))
        await connection.close()
        assert "marker" not in dump
        assert "127.0.0.1" not in dump
        if address is None:
            assert len(row["visitor_address"]) == len(row["user_agent"]) == 32
        else:
            assert (row["visitor_address"], row["user_agent"]) == (address, agent)
