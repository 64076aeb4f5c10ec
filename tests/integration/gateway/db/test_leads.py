"""Leads over click identities: one click leads at a time, across connections, until its lead lapses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common.postgres.database import Pool, connect_pool
from services.gateway.db.leads import LeadTable


@asynccontextmanager
async def opened(database: str) -> AsyncIterator[tuple[LeadTable, Pool]]:
    async with await connect_pool(database, application_name="test", max_size=2) as pool, LeadTable(pool) as table:
        yield table, pool


async def test_the_first_click_leads_until_its_lead_lapses(database: str) -> None:
    async with (
        await connect_pool(database, application_name="test", max_size=2) as pool,
        LeadTable(pool) as leads,
    ):
        assert await leads.claim_leader("i", "first", 60) == "first"
        assert await leads.claim_leader("i", "second", 60) == "first"
        await leads.extend_lead("i", "second", 600)
        await leads.extend_lead("i", "first", -1)
        assert await leads.claim_leader("i", "second", 60) == "second"
        await leads.extend_lead("i", "first", 600)
        assert await leads.claim_leader("i", "third", 60) == "second"


async def test_many_at_once_on_two_gateways_agree_on_one_leader_each_and_do_not_deadlock(database: str) -> None:
    identities = [f"i{number % 25}" for number in range(500)]
    async with (
        await connect_pool(database, application_name="test", max_size=4) as pool,
        LeadTable(pool) as one,
        LeadTable(pool) as other,
    ):
        claims = [
            asyncio.create_task(table.claim_leader(identity, f"{name}{number}", 60))
            for name, table, order in (("a", one, identities), ("b", other, identities[::-1]))
            for number, identity in enumerate(order)
        ]
        leaders: dict[str, set[str]] = {}
        for identity, leader in zip([*identities, *identities[::-1]], await asyncio.gather(*claims), strict=True):
            leaders.setdefault(identity, set()).add(leader)
        assert len(leaders) == 25
        assert all(len(found) == 1 for found in leaders.values())


async def test_only_lapsed_leads_are_deleted_and_no_more_than_asked(database: str) -> None:
    async with (
        await connect_pool(database, application_name="test", max_size=2) as pool,
        LeadTable(pool) as leads,
    ):
        for number in range(3):
            await leads.claim_leader(f"old{number}", "c", -1)
        await leads.claim_leader("new", "c", 60)
        assert [await leads.expire(2) for _ in range(3)] == [2, 1, 0]
        assert [row[0] for row in await pool.fetch("SELECT identity FROM clicks.journeys")] == ["new"]
