"""What comes too late for its visitor is not lost: webhooks tell of it, signed, and the next click may use it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from aiohttp import web

from clicktrace.gateway.v1 import gateway_pb2 as pb
from libs.common.rpc import times
from services.gateway.webhooks.delivery import signature, signing_key
from tests.integration.gateway.rpc.test_offer_admin import error_of
from tests.integration.gateway.test_metrics import Change
from tests.integration.gateway.world import CHAIN, World, broke, lands_on, says, waits_for, world

SHORT = times.to_duration(0.5)
SECRET = "marker-secret"


@dataclass
class Receiver:
    """A webhook: answers with the statuses it is given, the last one for ever."""

    statuses: list[int]
    url: str = ""
    got: "asyncio.Queue[tuple[dict[str, str], bytes]]" = field(default_factory=asyncio.Queue)

    async def handle(self, request: web.Request) -> web.Response:
        self.got.put_nowait(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async def next(self) -> tuple[dict[str, str], bytes]:
        async with asyncio.timeout(5):
            return await self.got.get()


@asynccontextmanager
async def receiver(*statuses: int) -> AsyncIterator[Receiver]:
    taking = Receiver(list(statuses))
    application = web.Application()
    application.router.add_post("/hook", taking.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    taking.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield taking
    finally:
        await runner.cleanup()


async def test_a_late_result_is_sent_once_and_signed(database: str) -> None:
    async with receiver(200) as hook, world(database, webhook_secret=SECRET) as w:
        await w.offer(max_wait=SHORT, webhook_url=hook.url)
        go_on = asyncio.Event()
        w.tracer.script = waits_for(go_on, lands_on("http://shop.example/?clickid=%20+&clickid=2"))
        reply = await w.click("offer=demo&gclid=1")
        go_on.set()
        headers, body = await hook.next()
        told = json.loads(body)
        assert told["click_id"] == headers["clicktrace-click-id"] == reply.click_id
        assert (told["status"], told["answer"], told["reason"]) == ("COMPLETED", "FALLBACK", "MAX_WAIT")
        assert told["params"] == [{"name": "clickid", "value": "%20+"}, {"name": "clickid", "value": "2"}]
        sent = re.fullmatch(r"t=(\d+),v1=[0-9a-f]{64}", headers["clicktrace-signature"])
        assert sent is not None
        assert sent[0] == signature(signing_key(SECRET, "demo"), int(sent[1]), body)
        assert sent[0] != signature(signing_key(SECRET, "other"), int(sent[1]), body)

        # A landing in time is no late result.
        await w.offer("patient", webhook_url=hook.url)
        w.tracer.script = lands_on("http://shop.example/")
        assert (await w.click("offer=patient&gclid=2")).location == "http://shop.example/?gclid=2"
        w.tracer.script = waits_for(go_on, says(broke("RESET")))
        await w.offers.UpdateOffer(pb.UpdateOfferRequest(offer=pb.Offer(name="demo", mode=pb.BEACON)))
        beacon = await w.click("offer=demo&gclid=3")
        headers, body = await hook.next()
        assert (json.loads(body)["click_id"], json.loads(body)["status"]) == (beacon.click_id, "FAILED")
        assert SECRET not in str(headers) + body.decode()
        connection = await asyncpg.connect(database)
        async with asyncio.timeout(5):
            while await connection.fetchval("SELECT count(*) FROM clicks.webhooks"):
                await asyncio.sleep(0.01)
        await connection.close()
        assert hook.got.empty()


async def test_a_webhook_is_tried_again_with_growing_pauses_and_is_a_dead_letter_in_the_end(database: str) -> None:
    settings: dict[str, Any] = {"webhook_secret": SECRET, "webhook_pause": 0.05, "webhook_attempts": 3}
    async with receiver(500, 302, 200) as hook, receiver(503) as dead, world(database, **settings) as w:
        await w.offer("good", mode=pb.BEACON, webhook_url=hook.url)
        await w.offer("bad", mode=pb.BEACON, webhook_url=dead.url)
        change = Change()
        good = await w.click("offer=good")
        bad = await w.click("offer=bad")
        bodies = {(await hook.next())[1] for _ in range(3)}
        assert [json.loads(body)["click_id"] for body in bodies] == [good.click_id]
        for _ in range(3):
            await dead.next()
        connection = await asyncpg.connect(database)
        async with asyncio.timeout(5):
            while not (rows := await connection.fetch("SELECT * FROM clicks.webhooks WHERE dead")):
                await asyncio.sleep(0.01)
        assert [(row["click_id"], row["attempts"], row["last_error"]) for row in rows] == [
            (bad.click_id, 3, "HTTP 503")
        ]
        assert await connection.fetchval("SELECT count(*) FROM clicks.webhooks") == 1
        counted = {
            (offer, result): change.of("clicktrace_gateway_webhooks_total", offer=offer, result=result)
            for offer in ("good", "bad")
            for result in ("DELIVERED", "FAILED", "DEAD")
        }
        assert counted == {
            ("good", "DELIVERED"): 1, ("good", "FAILED"): 2, ("good", "DEAD"): 0,
            ("bad", "DELIVERED"): 0, ("bad", "FAILED"): 2, ("bad", "DEAD"): 1,
        }  # fmt: skip
        await connection.close()


async def dead_letters(w: World, count: int) -> list[pb.Webhook]:
    """Waits until so many webhooks were given up, and returns them."""
    async with asyncio.timeout(5):
        while len(dead := (await w.webhooks.ListWebhooks(pb.ListWebhooksRequest(dead=True))).webhooks) < count:
            await asyncio.sleep(0.01)
    return list(dead)


async def test_operators_see_dead_letters_and_have_them_tried_again_where_the_offer_points_now(database: str) -> None:
    settings: dict[str, Any] = {"webhook_secret": SECRET, "webhook_pause": 0.01, "webhook_attempts": 1}
    async with receiver(503) as broken, receiver(200) as mended, world(database, **settings) as w:
        await w.offer("one", mode=pb.BEACON, webhook_url=broken.url)
        await w.offer("two", mode=pb.BEACON, webhook_url=broken.url)
        clicks = [await w.click(f"offer={name}") for name in ("one", "one", "two")]
        dead = await dead_letters(w, 3)
        assert [(letter.click_id, letter.offer) for letter in dead] == [
            (clicks[0].click_id, "one"), (clicks[1].click_id, "one"), (clicks[2].click_id, "two"),
        ]  # fmt: skip
        assert {(letter.url, letter.attempts, letter.last_error) for letter in dead} == {(broken.url, 1, "HTTP 503")}

        page = await w.webhooks.ListWebhooks(pb.ListWebhooksRequest(offer="one", page_size=1))
        assert [letter.click_id for letter in page.webhooks] == [clicks[0].click_id]
        request = pb.ListWebhooksRequest(offer="one", page_size=1, page_token=page.next_page_token)
        page = await w.webhooks.ListWebhooks(request)
        assert ([letter.click_id for letter in page.webhooks], page.next_page_token) == ([clicks[1].click_id], "")

        await w.offers.UpdateOffer(pb.UpdateOfferRequest(offer=pb.Offer(name="one", webhook_url=mended.url)))
        ids = [clicks[0].click_id, "0" * 32]
        assert (await w.webhooks.RetryWebhooks(pb.RetryWebhooksRequest(click_ids=ids))).retried == 1
        assert json.loads((await mended.next())[1])["click_id"] == clicks[0].click_id
        assert (await w.webhooks.RetryWebhooks(pb.RetryWebhooksRequest(offer="one"))).retried == 1
        assert json.loads((await mended.next())[1])["click_id"] == clicks[1].click_id
        assert [letter.offer for letter in await dead_letters(w, 1)] == ["two"]


async def test_a_request_about_webhooks_is_checked_whole_and_needs_the_operator(database: str) -> None:
    async with world(database, operator_token="s3cret") as w:
        operator = [("authorization", "Bearer s3cret")]
        for call in (
            w.webhooks.ListWebhooks(pb.ListWebhooksRequest()),
            w.webhooks.RetryWebhooks(pb.RetryWebhooksRequest(offer="x")),
        ):
            assert (await error_of(call)).reason == "OPERATOR_TOKEN_REQUIRED"
        for call, fields in (
            (w.webhooks.RetryWebhooks(pb.RetryWebhooksRequest(), metadata=operator), ["click_ids"]),
            (
                w.webhooks.RetryWebhooks(pb.RetryWebhooksRequest(click_ids=["x"], offer="\0"), metadata=operator),
                ["offer", "click_ids[0]"],
            ),
            (
                w.webhooks.ListWebhooks(pb.ListWebhooksRequest(page_token="x", offer="o" * 65), metadata=operator),
                ["offer", "page_token"],
            ),
        ):
            assert [violation.field for violation in (await error_of(call)).violations] == fields


async def test_a_delivery_survives_the_gateway_that_began_it(database: str) -> None:
    async with receiver(200) as hook:
        async with world(database, webhook_secret=SECRET) as w:
            await w.offer(mode=pb.BEACON, webhook_url="http://127.0.0.1:1/")
            reply = await w.click("offer=demo")
            await w.record_when(reply.click_id, lambda click: click.status == pb.COMPLETED)
        connection = await asyncpg.connect(database)
        # As one that a dead gateway had claimed, and whose time has passed.
        await connection.execute("UPDATE clicks.webhooks SET url = $1, due_time = now(), attempts = 1", hook.url)
        await connection.close()
        async with world(database, webhook_secret=SECRET) as w:
            headers, _ = await hook.next()
            assert headers["clicktrace-click-id"] == reply.click_id


async def test_the_last_landing_serves_as_fallback_without_what_belongs_to_one_visitor(database: str) -> None:
    async with world(database, gateways=1) as w:
        await w.offer(fallback_policy=pb.LAST_LANDING)
        landing = "http://shop.example/sale?shop=7&clickid={}#top"
        w.tracer.script = lands_on(landing.format("a"))
        await w.click("offer=demo&gclid=1")
        free, w.pool.free = w.pool.free, []
        # One landing alone does not tell what of it belongs to its visitor.
        assert (await w.click("offer=demo&gclid=2")).location == f"{CHAIN}&gclid=2"
        w.pool.free = free
        w.tracer.script = lands_on(landing.format("b"))
        await w.click("offer=demo&gclid=3")
        w.pool.free = []
        reply = await w.click("offer=demo&gclid=4")
        assert reply.location == "http://shop.example/sale?shop=7&gclid=4#top"
        assert (await w.record(reply.click_id)).answer == pb.FALLBACK
    # A gateway that starts anew knows it from the log.
    async with world(database) as w:
        w.pool.free = []
        assert (await w.click("offer=demo&gclid=5")).location == "http://shop.example/sale?shop=7&gclid=5#top"
        await w.offers.UpdateOffer(
            pb.UpdateOfferRequest(offer=pb.Offer(name="demo", landing_hosts=["elsewhere.example"]))
        )
        assert (await w.click("offer=demo&gclid=6")).location == f"{CHAIN}&gclid=6"


async def test_a_gateway_learns_where_the_chains_of_others_have_landed(database: str) -> None:
    async with world(database, gateways=2, landings_every=0.02) as w:
        await w.offer(fallback_policy=pb.LAST_LANDING)
        for number in (1, 2):
            w.tracer.script = lands_on(f"http://shop.example/sale?shop=7&clickid={number}")
            assert (await w.click(f"offer=demo&gclid={number}")).status == 302
        w.pool.free = []
        async with asyncio.timeout(20):
            number = 3
            while (await w.click(f"offer=demo&gclid={number}", at=w.others[0])).location != (
                f"http://shop.example/sale?shop=7&gclid={number}"
            ):
                number += 1
