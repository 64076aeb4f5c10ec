"""The real Chromium, driven by Playwright, and the console opened in it."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1360, "height": 900}

_VIOLATIONS = """
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""


def chromium_path() -> str:
    """Returns where Chromium is; without one the test says what is missing."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is missing: apt-get install chromium")
    return path


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Runs a Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path(), args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Console:
    """The console in a page of its own, and what went wrong in it."""

    page: Page
    address: str
    errors: list[str] = field(default_factory=list)

    async def sign_in(self, token: str) -> None:
        """Opens the console and gives the token if it is asked for."""
        await self.page.goto(f"{self.address}/console")
        asked = self.page.get_by_label("Operator token")
        if await asked.count():
            await asked.fill(token)
            await self.page.get_by_role("button", name="Open the console").click()
        await expect(self.page.locator("#live")).to_have_text("live", timeout=20_000)

    async def violations(self) -> list[str]:
        """Returns what the content security policy has refused."""
        found: list[str] = await self.page.evaluate("window.violations")
        return found

    async def is_wider_than_the_window(self) -> bool:
        """Says whether the page can be scrolled sideways."""
        wider: bool = await self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        return wider


@asynccontextmanager
async def console(
    browser: Browser,
    port: int,
    *,
    viewport: dict[str, int] | None = None,
    dark: bool = False,
    scale: float = 1,
    touch: bool = False,
) -> AsyncIterator[Console]:
    """Opens a page for the console at an internal port; nothing is loaded yet."""
    scheme: Literal["dark", "light"] = "dark" if dark else "light"
    size: Any = viewport or DESKTOP
    context = await browser.new_context(
        viewport=size, color_scheme=scheme, device_scale_factor=scale, has_touch=touch, is_mobile=touch
    )
    try:
        await context.add_init_script(_VIOLATIONS)
        page = await context.new_page()
        opened = Console(page, f"http://127.0.0.1:{port}")
        page.on("console", lambda message: opened.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: opened.errors.append(str(error)))
        yield opened
    finally:
        await context.close()
