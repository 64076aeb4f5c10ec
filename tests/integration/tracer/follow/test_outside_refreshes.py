"""Every row of meta_refresh, sent by a raw origin and followed through the served tracer."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from clicktrace.common.v1 import common_pb2
from services.tracer.follow.redirects import LONGEST_DELAY
from tests.integration.tracer import outside
from tests.integration.tracer.outside import Row
from tests.integration.tracer.rig import Client, Walked, http_proxy, serving
from tests.support.origin import Origin, Request, Wire, answer, page
from tests.support.scripted_proxy import ForwardProxy

pytestmark = [outside.needed, pytest.mark.asyncio(loop_scope="module")]


@dataclass
class World:
    """An origin, reachable under every name, whose first answer refreshes."""

    client: Client
    first: bytes = b""
    asked: int = 0
    proxy: common_pb2.Proxy = field(default_factory=common_pb2.Proxy)

    async def respond(self, _request: Request, _wire: Wire) -> bytes:
        self.asked += 1
        return self.first if self.asked == 1 else page("landed")

    async def follow(self, row: Row) -> Walked:
        self.asked = 0
        self.first = page(row["location_or_html"])
        if row["kind"] == "refresh-header":
            headers = [("Refresh", row["location_or_html"]), ("Content-Type", "text/html")]
            self.first = answer(200, headers, row.get("body", "").encode())
        return await self.client.trace(row["base_url"], self.proxy)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world() -> AsyncIterator[World]:
    async with serving() as rig:
        made = World(rig.client)
        async with Origin(made.respond) as origin, ForwardProxy(origin) as proxy:
            made.proxy = http_proxy(proxy.port)
            yield made


def _follows(row: Row) -> bool:
    return "expected_stop" not in row and row["expected_delay_s"] <= LONGEST_DELAY


@pytest.mark.parametrize("row", [p for p in outside.params("meta_refresh") if _follows(p.values[0])])
async def test_a_refresh_leads_on(world: World, row: Row) -> None:
    walked = await world.follow(row)
    kind = common_pb2.Hop.REFRESH_HEADER if row["kind"] == "refresh-header" else common_pb2.Hop.META_REFRESH
    assert (walked.hops[0].next_url, walked.hops[0].kind) == (row["expected_next_url"], kind)
    assert walked.stop == "LANDING"
    assert world.asked == 2


@pytest.mark.parametrize("row", [p for p in outside.params("meta_refresh") if not _follows(p.values[0])])
async def test_what_is_no_refresh_is_the_landing(world: World, row: Row) -> None:
    """No refresh, a page that only reloads itself, or one that waits longer than 10 s (DESIGN 6.3)."""
    walked = await world.follow(row)
    assert walked.stop == "LANDING"
    assert world.asked == 1
