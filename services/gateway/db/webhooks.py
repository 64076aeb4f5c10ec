"""The queue of webhook deliveries: one row per late result that its webhook has not taken yet."""

from collections.abc import Sequence

from libs.common.postgres.database import Pool
from libs.common.postgres.lending import lend
from services.gateway.db.session import QUERIES, affected_rows
from services.gateway.model import Delivery, Undelivered

_CLAIM = QUERIES["webhooks_claim"]
_DONE = QUERIES["webhook_done"]
_FAILED = QUERIES["webhook_failed"]
_LIST = QUERIES["webhooks_list"]
_RETRY = QUERIES["webhooks_retry"]
_EXPIRE = QUERIES["webhooks_expire"]
_TABLE = "clicks.webhooks"


class WebhookTable:
    """Hands out deliveries and records their results. Every method raises UNAVAILABLE/DATABASE_UNAVAILABLE."""

    def __init__(self, pool: Pool) -> None:
        """Uses a pool that the caller closes."""
        self._pool = pool

    async def claim(self, most: int, seconds: float) -> Sequence[Delivery]:
        """Claims up to `most` due deliveries.

        A claim lapses after `seconds`, so another gateway retries after a crash.
        """
        async with lend(self._pool, "webhooks_claim", table=_TABLE) as connection:
            rows = await connection.fetch(_CLAIM, most, seconds)
        return [Delivery(row["click_id"], row["offer"], row["url"], row["attempts"]) for row in rows]

    async def done(self, click_id: str) -> None:
        """Removes a delivery that its receiver has taken."""
        async with lend(self._pool, "webhook_done", table=_TABLE) as connection:
            await connection.execute(_DONE, click_id)

    async def failed(self, click_id: str, error: str, *, again_in: float | None) -> None:
        """Records a failed attempt; retries in `again_in` seconds, or makes it a dead letter if None."""
        async with lend(self._pool, "webhook_failed", table=_TABLE) as connection:
            await connection.execute(_FAILED, click_id, error, again_in or 0.0, again_in is None)

    async def page(self, offer: str, after: str, size: int, *, dead: bool) -> Sequence[Undelivered]:
        """Returns up to `size` deliveries after the click `after`, by click id; only dead letters if `dead`.

        An empty `offer` means all offers.
        """
        async with lend(self._pool, "webhooks_list", table=_TABLE) as connection:
            rows = await connection.fetch(_LIST, after, offer, dead, size)
        return [Undelivered(**row) for row in rows]

    async def retry(self, click_ids: Sequence[str], offer: str) -> int:
        """Makes the dead letters of these clicks, and of `offer` unless it is empty, due now; returns how many."""
        async with lend(self._pool, "webhooks_retry", table=_TABLE) as connection:
            return affected_rows(await connection.execute(_RETRY, list(click_ids), offer))

    async def expire(self, older_than: float) -> int:
        """Deletes dead letters that were queued more than `older_than` seconds ago; returns how many."""
        async with lend(self._pool, "webhooks_expire", table=_TABLE) as connection:
            return affected_rows(await connection.execute(_EXPIRE, older_than))
