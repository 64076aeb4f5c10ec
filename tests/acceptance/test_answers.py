"""Each row of the table in DESIGN section 4, through the real services: what the visitor gets, and what is on record.

The chains and the proxies are scripted by the tests; between them and the visitor everything is real.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from clicktrace.gateway.v1 import gateway_pb2 as pb
from libs.common.rpc import times
from services.gateway.webhooks.delivery import signature, signing_key
from tests.support.lab import Lab
from tests.support.origin import redirect
from tests.support.processes import gateways
from tests.support.system import System

pytestmark = pytest.mark.xdist_group("quick system")

SOON = 5.0
"""Far below the 10 s that a visitor would wait: what comes within it did not wait for a deadline."""


async def test_a_trace_that_ends_in_time_gives_the_landing_with_the_parameters_of_both(quick: System, lab: Lab) -> None:
    await lab.add_proxies()
    offer = await lab.offer()
    lab.chain("aff=7", "clickid=%20a+b&clickid=2")
    answer = await quick.click(f"offer={offer}&gclid=abc%20+&x&x=")
    assert answer.status == 302
    landing = lab.url("/landing", host="shop")
    assert answer.location == f"{landing}?clickid=%20a+b&clickid=2&gclid=abc%20+&x&x="
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
    click = await quick.ended(answer.click_id)
    assert (click.status, click.answer, click.reason) == (pb.COMPLETED, pb.LANDING, "")
    assert [(param.name, param.value, param.origin, param.hop_index, param.rule) for param in click.params] == [
        ("clickid", "%20a+b", pb.ParameterSource.TRACED, 2, "traced"),
        ("clickid", "2", pb.ParameterSource.TRACED, 2, "traced"),
        ("gclid", "abc%20+", pb.ParameterSource.INBOUND, -1, "inbound"),
        ("x", "", pb.ParameterSource.INBOUND, -1, "inbound"),
        ("x", "", pb.ParameterSource.INBOUND, -1, "inbound"),
    ]


@asynccontextmanager
async def receiver() -> AsyncIterator[tuple[str, "asyncio.Queue[tuple[dict[str, str], bytes]]"]]:
    """Takes webhooks."""
    got: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        got.put_nowait((dict(request.headers), await request.read()))
        return web.Response()

    application = web.Application()
    application.router.add_post("/late", take)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/late", got
    finally:
        await runner.cleanup()


async def test_a_slow_trace_gives_the_fallback_at_the_deadline_and_its_result_is_not_lost(
    quick: System, lab: Lab
) -> None:
    await lab.add_proxies(2)
    lab.chain("", "clickid=9", gate="/1")
    async with receiver() as (url, got):
        offer = await lab.offer(max_wait=2, webhook_url=url)
        answer = await quick.click(f"offer={offer}&gclid=late")
        assert answer.location == f"{lab.url('/start')}?gclid=late"
        assert 2 <= answer.seconds < SOON
        click = await quick.recorded_when(answer.click_id, lambda click: click.status == pb.TRACING)
        assert (click.answer, click.reason) == (pb.FALLBACK, "MAX_WAIT")
        assert len(await lab.leases()) == 1

        lab.gates["/1"].set()
        click = await quick.ended(answer.click_id)
        landing = f"{lab.url('/landing', host='shop')}?clickid=9"
        assert (click.status, click.final_url, len(click.hops)) == (pb.COMPLETED, landing, 3)
        headers, body = await asyncio.wait_for(got.get(), 30)
        assert json.loads(body)["click_id"] == answer.click_id
        assert json.loads(body)["params"] == [{"name": "clickid", "value": "9"}]
        sent_at = int(headers["Clicktrace-Signature"].partition("t=")[2].partition(",")[0])
        key = signing_key("webhook-secret", offer)
        assert headers["Clicktrace-Signature"] == signature(key, sent_at, body)

        # The next click of the same visitor has the benefit, and costs no IP.
        again = await quick.click(f"offer={offer}&gclid=late")
        assert again.location == f"{landing}&gclid=late"
        assert lab.asked.count("/start") == 1
    assert [attempt.outcome for attempt in click.attempts] == ["SUCCESS"]
    await lab.until_available(2)


async def test_without_an_ip_before_the_deadline_the_fallback_comes_at_once(quick: System, lab: Lab) -> None:
    await lab.add_proxies()
    patient = await lab.offer("patient")
    # No IP rests less than a second after its use.
    impatient = await lab.offer("impatient", max_wait=0.9)
    lab.chain("clickid=1")
    assert "clickid=1" in (await quick.click(f"offer={patient}&n=1")).location
    answer = await quick.click(f"offer={impatient}&n=2")
    assert answer.location == f"{lab.url('/start')}?n=2"
    click = await quick.ended(answer.click_id)
    # Not MAX_WAIT: the pool knew at once.
    assert (click.status, click.answer, click.reason) == (pb.FAILED, pb.FALLBACK, "NO_AVAILABLE_IP")
    assert times.to_seconds(click.visitor_wait) < 0.9
    assert not click.attempts


async def test_an_ip_that_comes_free_before_the_deadline_is_waited_for(quick: System, lab: Lab) -> None:
    await lab.add_proxies()
    offer = await lab.offer()
    lab.chain("clickid=1")
    answers = [await quick.click(f"offer={offer}&n={number}") for number in range(2)]
    assert ["clickid=1" in answer.location for answer in answers] == [True, True]
    (attempt,) = (await quick.ended(answers[1].click_id)).attempts
    assert 0 < times.to_seconds(attempt.lease_wait) < SOON


async def test_an_ip_that_is_in_use_may_come_back_before_the_deadline_and_is_waited_for(
    quick: System, lab: Lab
) -> None:
    await lab.add_proxies()
    offer = await lab.offer()
    lab.chain("clickid=1", gate="/start")
    clicking = [asyncio.create_task(quick.click(f"offer={offer}&n={number}")) for number in range(2)]
    await lab.walked("/start")
    lab.gates["/start"].set()
    assert ["clickid=1" in answer.location for answer in await asyncio.gather(*clicking)] == [True, True]


async def test_a_proxy_that_fails_before_the_target_is_replaced_invisibly(quick: System, lab: Lab) -> None:
    # The pool lends first what has been free for longest.
    await lab.add_dead_proxy()
    await lab.add_proxies()
    offer = await lab.offer()
    lab.chain("clickid=1")
    answer = await quick.click(f"offer={offer}&gclid=a")
    assert answer.location == f"{lab.url('/landing', host='shop')}?clickid=1&gclid=a"
    click = await quick.ended(answer.click_id)
    assert [attempt.outcome for attempt in click.attempts] == ["PROXY_FAILURE", "SUCCESS"]
    assert click.attempts[0].failure_reason
    assert click.attempts[0].ip_port != click.attempts[1].ip_port
    assert (click.reason, lab.asked.count("/start")) == ("", 1)


async def test_no_other_ip_is_tried_once_an_origin_may_have_seen_the_click(quick: System, lab: Lab) -> None:
    await lab.add_proxies(3)
    offer = await lab.offer()
    lab.pages["/start"] = None
    answer = await quick.click(f"offer={offer}&gclid=a")
    assert answer.location == f"{lab.url('/start')}?gclid=a"
    click = await quick.ended(answer.click_id)
    assert (click.status, len(click.attempts), len(lab.asked)) == (pb.FAILED, 1, 1)


async def test_a_trace_that_fails_takes_the_ladder_of_the_offer(quick: System, lab: Lab) -> None:
    await lab.add_proxies(4)
    lab.chain("a=1", "b=2")
    lab.pages["/1"] = None
    own = await lab.offer("own", fallback_url="https://fallback.example/f?x={gclid}#end")
    none = await lab.offer("none")
    answer = await quick.click(f"offer={own}&gclid=a%20b")
    assert answer.location == "https://fallback.example/f?x=a%20b&gclid=a%20b#end"
    assert (await quick.click(f"offer={none}&gclid=a")).location == f"{lab.url('/start')}?gclid=a"
    click = await quick.ended(answer.click_id)
    assert (click.status, click.answer) == (pb.FAILED, pb.FALLBACK)
    assert click.reason
    assert click.reason == click.hops[-1].error
    assert [hop.url for hop in click.hops][:2] == [lab.url("/start"), f"{lab.url('/1', host='hop1')}?a=1"]


async def test_the_same_click_again_joins_the_trace_that_runs_and_then_gets_what_it_found(
    quick: System, lab: Lab
) -> None:
    await lab.add_proxies(2)
    offer = await lab.offer()
    lab.chain("", "clickid=9", gate="/1")
    clicking = [asyncio.create_task(quick.click(f"offer={offer}&gclid=same")) for _ in range(5)]
    await lab.walked("/1")
    assert len(await lab.leases()) == 1
    lab.gates["/1"].set()
    answers = [*await asyncio.gather(*clicking), await quick.click(f"offer={offer}&gclid=same")]
    assert {answer.location for answer in answers} == {f"{lab.url('/landing', host='shop')}?clickid=9&gclid=same"}
    clicks = [await quick.ended(answer.click_id) for answer in answers]
    (leader,) = [click for click in clicks if not click.joined_click_id]
    assert {click.joined_click_id for click in clicks} == {"", leader.click_id}
    assert lab.asked.count("/start") == 1
    # Another visitor is another click, though the gclid is the same.
    await quick.click(f"offer={offer}&gclid=same", headers={"User-Agent": "another"})
    assert lab.asked.count("/start") == 2


@pytest.mark.parametrize(
    ("method", "headers", "reason"),
    [
        ("HEAD", {}, "HEAD"),
        ("GET", {"Purpose": "prefetch"}, "PREFETCH"),
        ("GET", {"Sec-Purpose": "prefetch;prerender"}, "PREFETCH"),
        ("GET", {"X-Purpose": "preview"}, "PREFETCH"),
    ],
)
async def test_head_and_previews_get_the_fallback_at_once_and_never_an_ip(
    quick: System, method: str, headers: dict[str, str], reason: str
) -> None:
    answer = await quick.click("offer=demo&gclid=preview", method=method, headers=headers)
    assert answer.status == 302
    assert "clickid" not in answer.params
    assert answer.params["gclid"] == "preview"
    click = await quick.ended(answer.click_id)
    assert (click.status, click.reason, len(click.attempts)) == (pb.NOT_TRACED, reason, 0)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("gclid=marker", 400),
        ("offer=&gclid=marker", 400),
        ("offer=%00marker", 400),
        ("offer=a%20marker", 400),
        ("offer=marker", 404),
        ("Offer=demo&marker", 400),
    ],
)
async def test_a_missing_malformed_or_unknown_offer_is_plain_text_without_echo(
    quick: System, query: str, status: int
) -> None:
    url = f"http://127.0.0.1:{quick.ports['http']}/track-hit?{query}"
    async with aiohttp.ClientSession() as session, session.get(url, allow_redirects=False) as response:
        assert response.status == status
        assert response.content_type == "text/plain"
        assert "marker" not in await response.text()
        assert "Location" not in response.headers


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"max_waiting": "1"}, "OVERLOAD"),
        ({"max_traces": "1"}, "OVERLOAD"),
        ({"client_burst": "1", "client_rate": "0.001"}, "CLIENT_RATE"),
        ({"offer_burst": "1", "offer_rate": "0.001"}, "OFFER_RATE"),
    ],
)
async def test_under_pressure_the_fallback_comes_at_once(
    quick: System, lab: Lab, settings: dict[str, str], reason: str
) -> None:
    await lab.add_proxies(2)
    offer = await lab.offer()
    lab.chain("clickid=1", gate="/start")
    async with gateways(quick, 1, **settings) as (pressed,):
        first = asyncio.create_task(pressed.click(f"offer={offer}&gclid=1"))
        await lab.walked("/start")
        answers = await asyncio.gather(*(pressed.click(f"offer={offer}&gclid=2&n={n}") for n in range(20)))
        assert {answer.status for answer in answers} == {302}
        assert [answer.location for answer in answers] == [f"{lab.url('/start')}?gclid=2&n={n}" for n in range(20)]
        assert max(answer.seconds for answer in answers) < SOON
        assert {(await pressed.recorded(answer.click_id)).reason for answer in answers} == {reason}
        lab.gates["/start"].set()
        assert "clickid=1" in (await first).location
    assert lab.asked.count("/start") == 1


async def test_a_beacon_gets_204_at_once_and_its_trace_runs_in_the_background(quick: System, lab: Lab) -> None:
    await lab.add_proxies()
    offer = await lab.offer(mode=pb.BEACON)
    lab.chain("clickid=1", gate="/start")
    answer = await quick.click(f"offer={offer}&gclid=a")
    assert (answer.status, "Location" in answer.headers) == (204, False)
    await lab.walked("/start")
    lab.gates["/start"].set()
    click = await quick.ended(answer.click_id)
    assert (click.status, click.answer) == (pb.COMPLETED, pb.NO_CONTENT)
    assert click.final_url.endswith("clickid=1")


async def test_without_permission_to_trace_the_visitor_is_only_redirected(quick: System, lab: Lab) -> None:
    await lab.add_proxies()
    offer = await lab.offer(tracking_url=lab.url("/start?o={offer}&g={gclid}"), mode=pb.REDIRECT_ONLY)
    answer = await quick.click(f"offer={offer}&gclid=a")
    assert answer.location == f"{lab.url('/start')}?o={offer}&g=a&gclid=a"
    click = await quick.ended(answer.click_id)
    assert (click.status, click.reason) == (pb.NOT_TRACED, "REDIRECT_ONLY")
    assert not lab.asked
    assert (await lab.count()).available == 1


async def test_other_methods_get_405_and_other_paths_404(quick: System) -> None:
    public = f"http://127.0.0.1:{quick.ports['http']}"
    async with aiohttp.ClientSession() as session:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            async with session.request(method, f"{public}/track-hit?offer=demo") as response:
                assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
        for path in ("/", "/healthz", "/readyz", "/metrics", "/console", "/functions/v1/ip-pool-maintenance", "/track"):
            for method in ("GET", "POST"):
                async with session.request(method, f"{public}{path}") as response:
                    assert response.status == 404, path


async def test_a_landing_that_the_offer_does_not_allow_is_not_used(quick: System, lab: Lab) -> None:
    await lab.add_proxies(4)
    lab.chain("clickid=1")
    elsewhere = await lab.offer("elsewhere", landing_hosts=["partner.example"])
    answer = await quick.click(f"offer={elsewhere}&gclid=a")
    assert answer.location == f"{lab.url('/start')}?gclid=a"
    assert (await quick.ended(answer.click_id)).reason == "LANDING_NOT_ALLOWED"
    here = await lab.offer("here", landing_hosts=["shop.localhost"])
    assert "clickid=1" in (await quick.click(f"offer={here}&gclid=a")).location

    lab.pages["/start"] = redirect("market://details?id=com.shop")
    for allowed, location in ((False, f"{lab.url('/start')}?gclid=a"), (True, "market://details?id=com.shop&gclid=a")):
        offer = await lab.offer(f"app-{allowed}", allow_app_links=allowed)
        answer = await quick.click(f"offer={offer}&gclid=a")
        assert answer.location == location
        assert (await quick.ended(answer.click_id)).reason == ("" if allowed else "APP_LINK")


async def test_the_seeds_maintenance_call_reaches_the_pool(quick: System) -> None:
    url = f"http://127.0.0.1:{quick.ports['internal']}/functions/v1/ip-pool-maintenance"
    async with aiohttp.ClientSession() as session, session.post(url) as response:
        assert response.status == 200
        assert {"statistics_rows", "expired_leases", "findings", "deleted_clicks"} <= (await response.json()).keys()
