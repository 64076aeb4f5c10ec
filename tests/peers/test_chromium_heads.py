"""Chromium goes on behind the heads of which docs/tracer.md says that it does."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Error

from tests.integration.tracer.heads import HEADS, RedirectHead
from tests.support.chromium import chromium
from tests.support.origin import Origin, Request, Wire, page

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


@pytest.mark.parametrize("head", HEADS, ids=[head.what for head in HEADS])
async def test_chromium(browser: Browser, head: RedirectHead) -> None:
    async def respond(request: Request, wire: Wire) -> bytes | None:
        if request.path != "/start":
            return page("landed")
        await wire.send(head.raw)
        if head.closes:
            wire.close()
        return None

    async with Origin(respond) as origin:
        shown = await browser.new_page()
        try:
            await shown.goto(f"http://127.0.0.1:{origin.port}/start", timeout=3_000, wait_until="commit")
        except Error:
            # It refuses the head, or takes it for a download.
            assert not head.chromium
        await shown.close()
        assert ("/end" in [request.path for request in origin.requests]) is head.chromium
