"""WebhookAdmin over gRPC: dead letters are listed and retried by operators only."""

import asyncio
import json
from typing import Any

from clicktrace.gateway.v1 import gateway_pb2 as pb
from tests.integration.gateway.rpc.test_offer_admin import error_of
from tests.integration.gateway.webhooks.receiver import SECRET, receiver
from tests.integration.gateway.world import World, world


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
