"""Takes the screenshots of the documentation: `make screenshots` runs the system, puts load on it, and looks."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page

from clicktrace.pool.v1 import pool_pb2, pool_pb2_grpc
from libs.common.rpc.client import channel
from local.demo.addresses import proxy_address
from tests.support.chromium import chromium, console
from tests.support.system import ROOT, System, state_directory

_IMAGES = ROOT / "docs" / "images"
_PROXIES = 150
_WARM_UP = 70.0
_DESKTOP = {"width": 1360, "height": 1010}
_PHONE = {"width": 390, "height": 844}


async def take() -> None:
    """Takes all of them."""
    _IMAGES.mkdir(parents=True, exist_ok=True)
    options = ("--proxies", str(_PROXIES), "--cooldown", "45s", "--slow-hop", "3s", "--max-wait", "5s")
    environment = {"POOL_FAILURE_LIMIT": "1"}
    with state_directory() as state, System(state, options, environment) as system:
        await _spoil_some(system)
        async with chromium() as browser, _clicking(system):
            await _desktop(browser, system)
            await _phone(browser, system)


async def _spoil_some(system: System) -> None:
    """Takes some IPs out of service, so that every state can be seen."""
    async with channel(f"127.0.0.1:{system.ports['pool']}") as opened:
        admin, leases = pool_pb2_grpc.PoolAdminStub(opened), pool_pb2_grpc.PoolManagerStub(opened)
        for number in (33, 34, 35):
            chosen = pool_pb2.ProxyFilter(ip_address=proxy_address(number))
            await admin.UpdateProxies(pool_pb2.UpdateProxiesRequest(filter=chosen, action=pool_pb2.DRAIN))
        broken = [
            pool_pb2.ProxySpec(ip_address=f"203.0.113.{number}", ip_port=8899, country="fr") for number in range(1, 5)
        ]
        await admin.ProvisionProxies(pool_pb2.ProvisionProxiesRequest(proxies=broken))
        for number in range(len(broken)):
            await _quarantine(leases, f"broken-{number}")


async def _quarantine(leases: "pool_pb2_grpc.PoolManagerAsyncStub", request_id: str) -> None:
    lease = (await leases.Lease(pool_pb2.LeaseRequest(request_id=request_id, country="fr"))).lease
    outcome = pool_pb2.ReleaseRequest(lease_id=lease.lease_id, fence=lease.fence, outcome=pool_pb2.PROXY_FAILURE)
    await leases.Release(outcome)


@asynccontextmanager
async def _clicking(system: System) -> AsyncIterator[None]:
    """Clicks on all offers inside the block."""
    tasks: set[asyncio.Task[object]] = set()

    async def clicks() -> None:
        offers = ("demo", "demo", "demo", "demo-slow", "demo", "demo-broken", "demo", "demo", "demo-slow", "demo")
        number = 0
        while True:
            query = f"offer={offers[number % len(offers)]}&gclid={secrets.token_hex(6)}&utm_source=news%20letter"
            task = asyncio.create_task(system.click(query))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
            await asyncio.sleep(0.45)

    work = asyncio.create_task(clicks())
    try:
        yield
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        await asyncio.gather(*tasks, return_exceptions=True)


async def _desktop(browser: Browser, system: System) -> None:
    async with console(browser, system.ports["internal"], viewport=_DESKTOP) as shown:
        await shown.sign_in("")
        await asyncio.sleep(_WARM_UP)
        await _shoot(shown.page, "console")
        await shown.page.emulate_media(color_scheme="dark")
        await asyncio.sleep(1)
        await _shoot(shown.page, "console-dark")
        await shown.page.emulate_media(color_scheme="light")
        await shown.page.get_by_role("button", name="Pause").click()
        await shown.page.locator('#click-list [data-kind="landing"] a').first.click()
        await shown.page.locator(".waterfall li").first.wait_for()
        await shown.page.locator("dialog").screenshot(path=_path("waterfall"), scale="css")
        await shown.page.keyboard.press("Escape")
        await shown.page.locator("#offers").scroll_into_view_if_needed()
        await shown.page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        await asyncio.sleep(1)
        await _shoot(shown.page, "console-offers")


async def _phone(browser: Browser, system: System) -> None:
    async with console(browser, system.ports["internal"], viewport=_PHONE, touch=True) as shown:
        await shown.sign_in("")
        await asyncio.sleep(3)
        await _shoot(shown.page, "console-phone")


async def _shoot(page: Page, name: str) -> None:
    await page.screenshot(path=_path(name), scale="css")


def _path(name: str) -> Path:
    return _IMAGES / f"{name}.png"


if __name__ == "__main__":
    asyncio.run(take())
