"""What others change is told to a gateway: offers by name, clicks by id; a failure to read one ends nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import asyncpg

from libs.common.errors import ClicktraceError, Code
from libs.common.process.supervisor import Supervisor
from services.gateway.db.listen import follow_changes


@dataclass
class Told:
    """Keeps what it is told."""

    events: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    async def offer(self, name: str) -> None:
        self.events.put_nowait(f"offer {name}")
        if name == "unread":
            raise ClicktraceError(Code.UNAVAILABLE, "DATABASE_UNAVAILABLE", "try again")

    async def all_offers(self) -> None:
        self.events.put_nowait("all offers")

    def click(self, click_id: str) -> None:
        self.events.put_nowait(f"click {click_id}")

    async def next(self) -> str:
        async with asyncio.timeout(10):
            return await self.events.get()

    @asynccontextmanager
    async def following(self, url: str) -> AsyncIterator[None]:
        changes = partial(follow_changes, url, on_offer=self.offer, on_offers=self.all_offers, on_written=self.click)
        async with Supervisor().running("listen", changes):
            yield


async def test_offers_and_clicks_are_told(database: str) -> None:
    told = Told()
    connection = await asyncpg.connect(database)
    try:
        async with told.following(database):
            assert await told.next() == "all offers"
            for name in ("unread", "read"):
                await connection.execute("INSERT INTO clicks.offers (name, document) VALUES ($1, '{}')", name)
            await connection.execute("NOTIFY clicks_written, 'c1,c2'")
            assert [await told.next() for _ in range(4)] == ["offer unread", "offer read", "click c1", "click c2"]
    finally:
        await connection.close()
