"""Deliveries without a network: one that cannot be rendered is retried and given up alone."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from services.gateway.model import ClickRecord, ClickStatus, Delivery
from services.gateway.webhooks.delivery import WebhookDelivery


class Queue:
    """A queue that gives out its deliveries once, and says when each has its result."""

    def __init__(self, *click_ids: str, attempts: int) -> None:
        self.due = [Delivery(click_id, "demo", "http://hooks.example/", attempts) for click_id in click_ids]
        self.left = len(self.due)
        self.results: dict[str, object] = {}
        self.finished = asyncio.Event()

    async def claim(self, _most: int, _seconds: float) -> Sequence[Delivery]:
        due, self.due = self.due, []
        return due

    async def done(self, click_id: str) -> None:
        self._note(click_id, "done")

    async def failed(self, click_id: str, error: str, *, again_in: float | None) -> None:
        self._note(click_id, (error, again_in))

    def _note(self, click_id: str, result: object) -> None:
        self.results[click_id] = result
        if len(self.results) == self.left:
            self.finished.set()


class Clicks:
    """A log with one record that cannot be read."""

    async def get(self, click_id: str) -> ClickRecord | None:
        if click_id == "broken":
            raise ValueError("no such form")
        now = datetime.now(UTC)
        return None if click_id == "gone" else ClickRecord(click_id, 1, "demo", ClickStatus.COMPLETED, now, now, "")


class Sender:
    """Takes everything."""

    async def post(self, _url: str, _body: bytes, _headers: dict[str, str]) -> str:
        return ""


async def delivered(queue: Queue) -> list[tuple[str, str]]:
    """Runs the delivery until all results are in; returns what was reported."""
    posted: list[tuple[str, str]] = []
    delivery = WebhookDelivery(
        queue,
        Clicks(),
        Sender(),
        secret="s",
        attempts=3,
        first_pause=2.0,
        on_posted=lambda offer, result: posted.append((offer, result)),
    )
    running = asyncio.create_task(delivery.run())
    async with asyncio.timeout(5):
        await queue.finished.wait()
    assert not running.done()
    running.cancel()
    return posted


async def test_one_that_cannot_be_rendered_is_retried_alone() -> None:
    queue = Queue("a", "broken", "gone", "z", attempts=2)
    with structlog.testing.capture_logs() as logs:
        posted = await delivered(queue)
    assert queue.results == {"a": "done", "z": "done", "gone": "done", "broken": ("INTERNAL_ERROR", 4.0)}
    assert sorted(posted) == [("demo", "DELIVERED"), ("demo", "DELIVERED"), ("demo", "FAILED")]
    assert [entry["click_id"] for entry in logs if entry["event"] == "webhook.broken"] == ["broken"]


async def test_one_that_cannot_be_rendered_is_a_dead_letter_in_the_end() -> None:
    queue = Queue("broken", attempts=3)
    assert await delivered(queue) == [("demo", "DEAD")]
    assert queue.results == {"broken": ("INTERNAL_ERROR", None)}
