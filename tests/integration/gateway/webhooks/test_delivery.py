"""What comes too late for its visitor is not lost: its webhook gets it, signed, and again until it has taken it."""

import asyncio
import json
import re
from typing import Any

import asyncpg

from clicktrace.gateway.v1 import gateway_pb2 as pb
from libs.common.rpc import times
from services.gateway.webhooks.delivery import signature, signing_key
from tests.integration.gateway.test_metrics import Change
from tests.integration.gateway.webhooks.receiver import SECRET, receiver
from tests.integration.gateway.world import broke, lands_on, says, waits_for, world

SHORT = times.to_duration(0.5)


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
