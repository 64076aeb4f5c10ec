"""Late results on their way to the webhooks of their offers: signed, repeated with growing pauses, given up in the end.

Every gateway takes what is due from one queue in the database, so a delivery survives the gateway that began it. A
receiver may get the same result twice, after a lost answer; the id of the click tells.
"""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from libs.common.errors import ClicktraceError
from libs.common.observability import spans
from libs.common.process import logs
from services.gateway.model import ClickRecord, Delivery
from services.gateway.urls.parameters import SplitUrl, parse

log = logs.get(__name__)

_AT_ONCE = 20
_CLAIMED_FOR = 60.0
_IDLE_PAUSE = 1.0
_LONGEST_PAUSE = 3_600.0


class Outbox(Protocol):
    """The queue."""

    async def claim(self, most: int, seconds: float) -> Sequence[Delivery]:
        """Takes what is due."""
        ...

    async def done(self, click_id: str) -> None:
        """Forgets one."""
        ...

    async def failed(self, click_id: str, error: str, *, again_in: float | None) -> None:
        """Notes a failure; with None it is a dead letter."""
        ...


class ClickReader(Protocol):
    """Where records are read."""

    async def get(self, click_id: str) -> ClickRecord | None:
        """Returns one click, whole."""
        ...


class Poster(Protocol):
    """Sends HTTP requests."""

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> str:
        """Sends a body; returns what went wrong, empty if it was taken."""
        ...


def signing_key(secret: str, offer: str) -> bytes:
    """Returns the key of one offer, in hexadecimal: who knows it can forge results of this offer only."""
    return hmac.new(secret.encode(), offer.encode(), hashlib.sha256).hexdigest().encode()


def signature(key: bytes, timestamp: int, body: bytes) -> str:
    """Signs a body together with the moment it is sent, so that an old one cannot be sent again as new."""
    signed = hmac.new(key, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={signed}"


def rendered(record: ClickRecord) -> bytes:
    """Renders a late result as JSON; `params` are those of the final URL as they stand there, in order."""
    params = parse(SplitUrl.of(record.final_url).query or "")
    return json.dumps(
        {
            "click_id": record.click_id,
            "offer": record.offer,
            "status": record.status,
            "answer": record.answer or "",
            "reason": record.reason,
            "start_time": record.start_time.isoformat(),
            "end_time": record.end_time.isoformat() if record.end_time else None,
            "inbound_query": record.inbound_query,
            "final_url": record.final_url,
            "stop_reason": record.stop_reason,
            "params": [{"name": param.name, "value": param.value} for param in params],
        },
        separators=(",", ":"),
    ).encode()


class Webhooks:
    """Delivers what is due, for ever."""

    def __init__(
        self,
        outbox: Outbox,
        clicks: ClickReader,
        poster: Poster,
        *,
        secret: str,
        attempts: int,
        first_pause: float,
        on_posted: Callable[[str, str], None],
    ) -> None:
        """Signs with `secret`; tries `attempts` times, `first_pause` seconds apart at first and then ever longer.

        `on_posted` is told the offer of each attempt, and what came of it: DELIVERED, FAILED or DEAD.
        """
        self._outbox = outbox
        self._clicks = clicks
        self._poster = poster
        self._secret = secret
        self._attempts = attempts
        self._first_pause = first_pause
        self._on_posted = on_posted

    async def run(self) -> None:
        """Delivers until it is cancelled."""
        while True:
            try:
                due = await self._outbox.claim(_AT_ONCE, _CLAIMED_FOR)
                async with asyncio.TaskGroup() as group:
                    for delivery in due:
                        group.create_task(self._deliver(delivery))
            except* ClicktraceError as errors:
                log.warning("webhook.waits", reason=str(errors.exceptions[0]))
                due = []
            if not due:
                await asyncio.sleep(min(_IDLE_PAUSE, self._first_pause))

    async def _deliver(self, delivery: Delivery) -> None:
        record = await self._clicks.get(delivery.click_id)
        if record is None:
            # Older than the log keeps clicks: there is nothing left to tell.
            await self._outbox.done(delivery.click_id)
            return
        body = rendered(record)
        key = signing_key(self._secret, delivery.offer)
        headers = {
            "Content-Type": "application/json",
            "Clicktrace-Click-Id": delivery.click_id,
            "Clicktrace-Signature": signature(key, int(time.time()), body),
        }
        with spans.linked("webhook", to=delivery.click_id) as span:
            error = await self._poster.post(delivery.url, body, headers)
            if error:
                spans.fail(span, "NOT_DELIVERED")
        if not error:
            await self._outbox.done(delivery.click_id)
            self._on_posted(delivery.offer, "DELIVERED")
            log.info("webhook.delivered", click_id=delivery.click_id, offer=delivery.offer, attempt=delivery.attempts)
            return
        last = delivery.attempts >= self._attempts
        pause = min(_LONGEST_PAUSE, self._first_pause * 2 ** (delivery.attempts - 1))
        await self._outbox.failed(delivery.click_id, error, again_in=None if last else pause)
        self._on_posted(delivery.offer, "DEAD" if last else "FAILED")
        log.warning(
            "webhook.dead" if last else "webhook.failed",
            click_id=delivery.click_id,
            offer=delivery.offer,
            attempt=delivery.attempts,
            error=error,
        )
