"""The queue of webhook deliveries: claimed once at a time, retried when due, dead letters only on request."""

from libs.common.postgres.database import Pool, connect_pool
from services.gateway.db.webhooks import WebhookTable


async def add(pool: Pool, *click_ids: str, offer: str = "demo") -> None:
    for click_id in click_ids:
        await pool.execute(
            "INSERT INTO clicks.webhooks (click_id, offer, url) VALUES ($1, $2, 'http://old.example/')", click_id, offer
        )


async def test_a_claim_is_exclusive_until_it_lapses(database: str) -> None:
    async with await connect_pool(database, application_name="test", max_size=2) as pool:
        webhooks = WebhookTable(pool)
        await add(pool, "a", "b", "c")
        first = await webhooks.claim(2, 60)
        second = await webhooks.claim(2, -1)
        assert len(first) == 2
        assert {delivery.click_id for delivery in (*first, *second)} == {"a", "b", "c"}
        # The claim of a gateway that crashed has lapsed; the attempt counts.
        (again,) = await webhooks.claim(2, 60)
        assert (again.click_id, again.attempts) == (second[0].click_id, 2)
        assert await webhooks.claim(2, 60) == []
        await webhooks.done(again.click_id)
        assert {waiting.click_id for waiting in await webhooks.page("", "", 10, dead=False)} == {
            delivery.click_id for delivery in first
        }


async def test_a_failed_one_is_due_later_and_a_dead_one_never(database: str) -> None:
    async with await connect_pool(database, application_name="test", max_size=2) as pool:
        webhooks = WebhookTable(pool)
        await add(pool, "a", "b", "c")
        assert len(await webhooks.claim(3, 60)) == 3
        await webhooks.failed("a", "HTTP 503", again_in=-1)
        await webhooks.failed("b", "HTTP 503", again_in=60)
        await webhooks.failed("c", "HTTP 410", again_in=None)
        assert [delivery.click_id for delivery in await webhooks.claim(3, 60)] == ["a"]
        (letter,) = await webhooks.page("", "", 10, dead=True)
        assert (letter.click_id, letter.dead, letter.last_error, letter.attempts) == ("c", True, "HTTP 410", 1)


async def test_dead_letters_of_clicks_or_of_an_offer_are_retried_at_its_present_url(database: str) -> None:
    async with await connect_pool(database, application_name="test", max_size=2) as pool:
        webhooks = WebhookTable(pool)
        await pool.execute(
            """
            INSERT INTO clicks.offers (name, document) VALUES
                ('moved', '{"tracking_url": "http://t/", "webhook_url": "http://new.example/"}'),
                ('none', '{"tracking_url": "http://t/", "webhook_url": ""}')
            """
        )
        await add(pool, "a", "b", offer="moved")
        await add(pool, "c", offer="none")
        await add(pool, "d", offer="deleted")
        await webhooks.claim(4, 60)
        for click_id in "abcd":
            await webhooks.failed(click_id, "HTTP 410", again_in=None)
        assert await webhooks.retry(["a", "unknown"], "") == 1
        assert await webhooks.retry(["c", "d"], "moved") == 3
        assert {delivery.click_id: delivery.url for delivery in await webhooks.claim(9, 60)} == {
            "a": "http://new.example/",
            "b": "http://new.example/",
            "c": "http://old.example/",
            "d": "http://old.example/",
        }


async def test_pages_go_on_behind_a_click_and_are_of_one_offer(database: str) -> None:
    async with await connect_pool(database, application_name="test", max_size=2) as pool:
        webhooks = WebhookTable(pool)
        await add(pool, "a", "c", "e")
        await add(pool, "b", offer="other")
        assert [waiting.click_id for waiting in await webhooks.page("", "", 2, dead=False)] == ["a", "b"]
        assert [waiting.click_id for waiting in await webhooks.page("demo", "a", 9, dead=False)] == ["c", "e"]
        assert await webhooks.page("", "", 9, dead=True) == []
