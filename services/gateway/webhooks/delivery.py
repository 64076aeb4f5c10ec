"""Signs and sends late results from a queue that all gateways share.

The queue is in the database, so a delivery survives a crash of the gateway that claimed it. A receiver may get the same
result twice, for example after a lost response; the click id identifies repeats.
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

_MAX_CONCURRENT = 20
# Longer than the sender's timeout, so that no claim lapses while its request runs.
_CLAIM_SECONDS = 60.0
_IDLE_SECONDS = 1.0
_MAX_PAUSE_SECONDS = 3_600.0


class Queue(Protocol):
    """Holds undelivered late results. Every method raises UNAVAILABLE/DATABASE_UNAVAILABLE."""

    async def claim(self, most: int, seconds: float) -> Sequence[Delivery]:
        """Claims up to `most` due deliveries; a claim lapses after `seconds`."""
        ...

    async def done(self, click_id: str) -> None:
        """Removes a delivery that its receiver has taken."""
        ...

    async def failed(self, click_id: str, error: str, *, again_in: float | None) -> None:
        """Records a failed attempt; retries in `again_in` seconds, or makes it a dead letter if None."""
        ...


class ClickReader(Protocol):
    """Reads click records."""

    async def get(self, click_id: str) -> ClickRecord | None:
        """Returns the whole record of a click; None if there is none."""
        ...


class Sender(Protocol):
    """Sends HTTP requests."""

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> str:
        """Posts a body; returns what went wrong, empty if the answer was 2xx."""
        ...


def signing_key(secret: str, offer: str) -> bytes:
    """Returns the signing key of one offer, in hexadecimal; whoever knows it can forge results of this offer only."""
    return hmac.new(secret.encode(), offer.encode(), hashlib.sha256).hexdigest().encode()


def signature(key: bytes, timestamp: int, body: bytes) -> str:
    """Signs a body with the time it is sent (seconds since 1970), so that a receiver can refuse a replayed request."""
    signed = hmac.new(key, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={signed}"


def rendered(record: ClickRecord) -> bytes:
    """Renders a late result as JSON; `params` are those of the final URL, in order and still percent-encoded."""
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


class WebhookDelivery:
    """Delivers what is due until it is cancelled."""

    def __init__(
        self,
        queue: Queue,
        clicks: ClickReader,
        sender: Sender,
        *,
        secret: str,
        attempts: int,
        first_pause: float,
        on_posted: Callable[[str, str], None],
    ) -> None:
        """Signs with keys derived from `secret`; makes a dead letter after `attempts` failed attempts.

        The pause after the first failure is `first_pause` seconds; it doubles each time, up to an hour. `on_posted`
        receives the offer and the result of each attempt: DELIVERED, FAILED or DEAD.
        """
        self._queue = queue
        self._clicks = clicks
        self._sender = sender
        self._secret = secret
        self._attempts = attempts
        self._first_pause = first_pause
        self._on_posted = on_posted

    async def run(self) -> None:
        """Delivers until it is cancelled."""
        while True:
            try:
                due = await self._queue.claim(_MAX_CONCURRENT, _CLAIM_SECONDS)
                async with asyncio.TaskGroup() as group:
                    for delivery in due:
                        group.create_task(self._deliver(delivery))
            except* ClicktraceError as errors:
                log.warning("webhook.waits", reason=str(errors.exceptions[0]))
                due = []
            if not due:
                await asyncio.sleep(min(_IDLE_SECONDS, self._first_pause))

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            error = await self._send(delivery)
        except ClicktraceError:
            raise
        except Exception:
            # Whatever is wrong with this one must not hold up the others.
            log.exception("webhook.broken", click_id=delivery.click_id, offer=delivery.offer)
            error = "INTERNAL_ERROR"
        if error is None:
            await self._queue.done(delivery.click_id)
            return
        if not error:
            await self._queue.done(delivery.click_id)
            self._on_posted(delivery.offer, "DELIVERED")
            log.info("webhook.delivered", click_id=delivery.click_id, offer=delivery.offer, attempt=delivery.attempts)
            return
        last = delivery.attempts >= self._attempts
        pause = min(_MAX_PAUSE_SECONDS, self._first_pause * 2 ** (delivery.attempts - 1))
        await self._queue.failed(delivery.click_id, error, again_in=None if last else pause)
        self._on_posted(delivery.offer, "DEAD" if last else "FAILED")
        log.warning(
            "webhook.dead" if last else "webhook.failed",
            click_id=delivery.click_id,
            offer=delivery.offer,
            attempt=delivery.attempts,
            error=error,
        )

    async def _send(self, delivery: Delivery) -> str | None:
        """Sends a late result; returns what went wrong, empty if it was taken, None if there is nothing to send."""
        record = await self._clicks.get(delivery.click_id)
        if record is None:
            # The click is past its retention time.
            return None
        body = rendered(record)
        key = signing_key(self._secret, delivery.offer)
        headers = {
            "Content-Type": "application/json",
            "Clicktrace-Click-Id": delivery.click_id,
            "Clicktrace-Signature": signature(key, int(time.time()), body),
        }
        with spans.linked("webhook", to=delivery.click_id) as span:
            error = await self._sender.post(delivery.url, body, headers)
            if error:
                spans.fail(span, "NOT_DELIVERED")
        return error
