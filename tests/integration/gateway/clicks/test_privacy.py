"""What is kept of a visitor is what the setting says."""

import asyncpg
import pytest

from clicktrace.gateway.v1 import gateway_pb2 as pb
from tests.integration.gateway.world import hop, landed, says, world


@pytest.mark.parametrize(
    ("policy", "address", "agent"),
    [("truncated", "127.0.0.0", "Mozilla/5.0"), ("none", "", ""), ("hashed", None, None)],
)
async def test_personal_data_is_kept_only_as_the_setting_says(
    database: str, policy: str, address: str | None, agent: str | None
) -> None:
    async with world(database, personal_data=policy) as w:
        await w.offer(user_agent_policy=pb.VISITOR)
        agent_sent = "Mozilla/5.0 (X11; marker) Gecko"
        event = hop(0, "http://track.example/", next_url="http://shop.example/")
        event.hop.snippet = f'<meta http-equiv="refresh" content="0;url=http://shop.example/"> {agent_sent}'
        w.tracer.script = says(event, hop(1, "http://shop.example/"), landed("http://shop.example/"))
        click_id = (await w.click("offer=demo&gclid=1", f"User-Agent: {agent_sent}")).click_id
        assert ((await w.record(click_id)).hops[0].snippet != "") == (policy == "truncated")
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
