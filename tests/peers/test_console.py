"""The console in a real Chromium: what is on it, how it lives, and that it can be used in every way it promises."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Route, expect

from tests.support.chromium import PHONE, Console, chromium, console
from tests.support.system import System, state_directory

TOKEN = "marker-operator-token"
PROXIES = 12


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """Runs the system with an operator token, as in production, and with a slow chain of seconds."""
    options = ("--proxies", str(PROXIES), "--cooldown", "20s", "--slow-hop", "1s")
    environment = {"GATEWAY_OPERATOR_TOKEN": TOKEN, "POOL_OPERATOR_TOKEN": TOKEN, "GATEWAY_JAEGER_URL": "http://jaeger"}
    with state_directory() as state, System(state, options, environment) as system:
        yield system


@asynccontextmanager
async def opened(system: System, **options: object) -> AsyncIterator[Console]:
    """The console, signed in; nothing may have gone wrong in it when the block is left."""
    async with chromium() as browser, console(browser, system.ports["internal"], **options) as shown:  # type: ignore[arg-type]
        await shown.sign_in(TOKEN)
        # The question for the token is answered with 401, which Chromium counts as an error of the page.
        shown.errors.clear()
        yield shown
        assert await shown.violations() == []
        assert shown.errors == []


async def test_the_token_is_asked_for_once(system: System) -> None:
    async with chromium() as browser, console(browser, system.ports["internal"]) as shown:
        page = shown.page
        await page.goto(f"{shown.address}/console")
        await expect(page.get_by_label("Operator token")).to_be_focused()
        await page.keyboard.type("wrong")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_have_text("That is not the operator token.")
        await shown.sign_in(TOKEN)
        await page.reload()
        await expect(page.locator("#live")).to_have_text("live")
        assert await page.evaluate("document.cookie") == "", "no script can read the session"
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_label("Operator token")).to_be_visible()


async def test_what_is_on_the_page(system: System) -> None:
    async with opened(system) as shown:
        page = shown.page
        await expect(page.locator("#part-legend")).to_contain_text("unhealthy")
        await expect(page.locator(".figure").first).to_contain_text(f"/ {PROXIES}")
        await expect(page.locator(".countries tbody tr")).to_have_count(5)
        for name in ("Pool", "Clicks", "The last hour", "Offers", "How many IPs?"):
            await expect(page.get_by_role("region", name=name, exact=True)).to_be_visible()
        await expect(page.locator(".uplot")).to_have_count(2)
        await expect(page.get_by_role("row", name=re.compile("^demo-slow"))).to_contain_text("Trace now")
        await expect(page.locator("#size-answer")).to_contain_text("IPs needed")
        field = page.locator("#field")
        async with asyncio.timeout(10):
            while await field.evaluate("(canvas) => canvas.getContext('2d').getImageData(9, 29, 1, 1).data[3]") != 255:
                await asyncio.sleep(0.05)


async def test_a_click_appears_while_one_looks_and_opens_as_a_waterfall(system: System) -> None:
    async with opened(system) as shown:
        page = shown.page
        answer = await system.click("offer=demo&gclid=seen&utm=a%20b")
        row = page.locator(f'#click-list [data-click="{answer.click_id}"]')
        await expect(row).to_contain_text("landed")
        await expect(page.locator("#part-legend")).to_contain_text(re.compile(r"[1-9]\d* cooling down"))
        await row.get_by_role("link").click()
        drawer = page.get_by_role("dialog")
        await expect(drawer.get_by_role("heading", level=2)).to_contain_text("demo")
        await expect(drawer.locator(".waterfall li")).to_have_count(8)
        await expect(drawer.locator(".waterfall li").first).to_contain_text("Wait for an IP")
        await expect(drawer.locator("mark.inbound")).to_have_text(["gclid=seen", "utm=a%20b"])
        await expect(drawer.locator("mark.traced").filter(has_text="clickid=")).to_be_visible()
        await expect(drawer.get_by_role("row", name=re.compile("^clickid"))).to_contain_text("chain, hop")
        hop = drawer.locator(".waterfall li").filter(has_text="meta refresh")
        await expect(hop.get_by_text("Connected to")).to_be_hidden()
        await hop.locator("summary").click()
        for term, known in (
            ("Connected to", r"127\.77\.0\.\d+:\d+"),
            ("Spoke", "HTTP/1.1"),
            ("Led on by", "http-equiv"),
        ):
            await expect(hop.locator("dl div").filter(has_text=term)).to_contain_text(re.compile(known))


async def test_an_offer_shows_how_its_clicks_fare(system: System) -> None:
    async with opened(system) as shown:
        await system.click("offer=demo-broken&gclid=fares")
        row = shown.page.get_by_role("row", name=re.compile("^demo-broken"))
        await expect(row).to_contain_text("100 %", timeout=20_000)
        await system.click("offer=demo&gclid=fares")
        row = shown.page.get_by_role("row", name=re.compile("^demo traces"))
        await expect(row.locator(".histogram")).to_be_visible(timeout=20_000)


async def test_the_hops_of_a_trace_on_demand_arrive_one_by_one(system: System) -> None:
    async with opened(system) as shown:
        page = shown.page
        await page.get_by_role("button", name="Trace demo-slow now").click()
        lines = page.get_by_role("dialog").locator(".waterfall li")
        for hops in (1, 2):
            await expect(lines).to_have_count(1 + hops, timeout=20_000)
        await expect(page.get_by_role("dialog").locator(".click h2")).to_contain_text("landed", timeout=20_000)
        await expect(lines).to_have_count(6)


async def test_it_is_used_with_the_keyboard_alone(system: System) -> None:
    async with opened(system) as shown:
        page = shown.page
        answer = await system.click("offer=demo&gclid=keys")
        await expect(page.locator(f'[data-click="{answer.click_id}"]')).to_be_visible()
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the clicks")).to_be_focused()
        await page.locator("#field").focus()
        told = page.locator("#cell-told")
        await expect(told).to_contain_text("127.77.0.")
        first = await told.text_content()
        await page.keyboard.press("ArrowRight")
        await expect(told).not_to_have_text(first or "")
        await page.keyboard.press("End")
        await expect(told).to_contain_text("US")
        order = []
        for _ in range(4):
            await page.keyboard.press("Tab")
            order.append(await page.evaluate("document.activeElement.id || document.activeElement.textContent"))
        assert order == ["only-other", "pause", "click-id", "Open"]
        await page.keyboard.press("Tab")
        link = page.locator("#click-list a").first
        await expect(link).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await expect(page.get_by_role("dialog").get_by_role("heading", level=2)).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_be_hidden()
        await expect(link).to_be_focused()


async def test_a_pool_that_was_focused_before_its_first_frame_tells_of_its_first_ip(system: System) -> None:
    async with opened(system) as shown:
        page = shown.page
        first_frame = asyncio.Event()

        async def held(route: Route) -> None:
            await first_frame.wait()
            await route.continue_()

        await page.route("**/console/events*", held)
        await page.reload()
        await page.locator("#field").focus()
        told = page.locator("#cell-told")
        await expect(told).to_contain_text("Every cell is one IP")
        first_frame.set()
        await expect(told).to_contain_text("127.77.0.")


async def test_a_click_is_found_by_its_id_and_the_list_can_be_held(system: System) -> None:
    async with opened(system) as shown:
        page = shown.page
        await page.get_by_role("button", name="Pause").click()
        answer = await system.click("offer=demo-broken&gclid=held")
        await expect(page.get_by_role("button", name="Resume (1 new)")).to_be_visible()
        await expect(page.locator(f'[data-click="{answer.click_id}"]')).to_have_count(0)
        await page.get_by_label("Click id").fill(answer.click_id)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog").locator(".waterfall li.bad")).to_have_count(1)
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Resume").click()
        await expect(page.locator(f'#click-list [data-click="{answer.click_id}"]')).to_be_visible()
        await system.click("offer=demo&gclid=other")
        await expect(page.locator('#click-list [data-kind="landing"]').first).to_be_visible()
        await page.get_by_label("no landings").check()
        await expect(page.locator('#click-list [data-kind="landing"]').first).to_be_hidden()


async def test_however_many_clicks_come_the_page_stays_small(system: System) -> None:
    async with opened(system) as shown:
        page = shown.page
        for _ in range(10):
            await asyncio.gather(*(system.click("offer=demo", method="HEAD") for _ in range(30)))
        await expect(page.locator("#click-list li")).not_to_have_count(0)
        last = await system.click("offer=demo", method="HEAD")
        await expect(page.locator(f'[data-click="{last.click_id}"]')).to_be_visible()
        assert await page.locator("#click-list li").count() <= 80


async def test_what_if(system: System) -> None:
    async with opened(system) as shown:
        page = shown.page
        answer = page.locator("#size-answer .verdict b")
        await expect(answer).to_contain_text("IPs")
        before = await answer.text_content()
        slider = page.get_by_label("Cooldown of an IP")
        await slider.focus()
        await page.keyboard.press("End")
        await expect(page.locator("#size-cooldown-value")).to_have_text("10 min 00 s")
        await expect(page.get_by_role("button", name="As now")).to_have_attribute("aria-pressed", "false")
        rate = page.get_by_label("Clicks a second")
        await rate.focus()
        await page.keyboard.press("End")
        await expect(answer).not_to_have_text(before or "")
        await page.get_by_role("button", name="As now").click()
        await expect(page.locator("#size-cooldown-value")).to_have_text("20 s")


async def test_nothing_but_its_own_scripts_run(system: System) -> None:
    async with chromium() as browser, console(browser, system.ports["internal"]) as shown:
        await shown.sign_in(TOKEN)
        await shown.page.evaluate(
            """() => {
                const script = document.createElement("script");
                script.textContent = "window.injected = true";
                document.body.append(script);
                const image = document.createElement("div");
                image.innerHTML = "<img src=x onerror='window.injected = true'>";
                document.body.append(image);
            }"""
        )
        async with asyncio.timeout(10):
            while len(await shown.violations()) < 2:
                await asyncio.sleep(0.05)
        assert await shown.page.evaluate("window.injected") is None


@pytest.mark.parametrize("dark", [False, True])
async def test_a_phone_shows_all_of_it_without_scrolling_sideways(system: System, dark: bool) -> None:
    async with opened(system, viewport=PHONE, touch=True, dark=dark) as shown:
        page = shown.page
        answer = await system.click(f"offer=demo&gclid=phone-{dark}-{'x' * 300}")
        row = page.locator(f'#click-list [data-click="{answer.click_id}"] a')
        await expect(row).to_be_visible()
        assert not await shown.is_wider_than_the_window()
        await row.tap()
        drawer = page.get_by_role("dialog")
        await expect(drawer.locator(".waterfall li")).to_have_count(8)
        assert await drawer.evaluate("(dialog) => dialog.scrollWidth <= window.innerWidth")
        ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        red = int(re.findall(r"\d+", ground)[0])
        assert (red < 64) is dark


async def test_it_comes_back_after_a_restart_by_itself(system: System) -> None:
    async with chromium() as browser, console(browser, system.ports["internal"]) as shown:
        page = shown.page
        await shown.sign_in(TOKEN)
        await page.evaluate("window.sameDocument = true")
        system.stop()
        await expect(page.locator("#live")).to_have_text("reconnecting", timeout=20_000)
        system.start()
        await expect(page.locator("#live")).to_have_text("live", timeout=30_000)
        answer = await system.click("offer=demo&gclid=after-the-restart")
        await expect(page.locator(f'#click-list [data-click="{answer.click_id}"]')).to_be_visible(timeout=20_000)
        await expect(page.locator(".figure").first).to_contain_text(f"/ {PROXIES}", timeout=20_000)
        assert await page.evaluate("window.sameDocument"), "the session and the page have outlived the gateway"
        assert await shown.violations() == []
