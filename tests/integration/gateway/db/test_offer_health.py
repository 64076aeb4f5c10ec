"""Gateways that update the health of offers at the same time lose nothing."""

import asyncio

from libs.common.postgres import database as connections
from services.gateway.db.offer_health import OfferHealthTable
from services.gateway.drift.shape import Chain
from services.gateway.drift.stats import Activity


async def test_gateways_that_write_at_the_same_time_lose_nothing(database: str) -> None:
    chain = Chain.of([("track.example", "LOCATION")], "shop.example")

    async def one(table: OfferHealthTable) -> None:
        for _ in range(10):
            fresh = {name: Activity(clicks=1) for name in ("a", "b")}
            for notes in fresh.values():
                notes.count_chain(chain)
            await table.add_activity(fresh)

    async with await connections.connect_pool(database, application_name="test", max_size=6) as pool:
        await pool.execute(
            "INSERT INTO clicks.offers (name, document) "
            """SELECT name, '{"tracking_url": "http://t.example/"}' FROM unnest($1::text[]) AS name""",
            ["a", "b"],
        )
        table = OfferHealthTable(pool)
        await asyncio.gather(*(one(table) for _ in range(5)))
        for told in await table.page("", 10):
            assert (told.clicks, told.shape.chains) == (50, 50)
