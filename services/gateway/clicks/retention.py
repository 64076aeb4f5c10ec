"""Deletes expired clicks, leads and dead letters. Any number of gateways may do so at once."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from libs.common.errors import ClicktraceError
from libs.common.process import logs

log = logs.get(__name__)

_EVERY = 60.0
_BATCH = 5_000


class ClickRows(Protocol):
    """Deletes clicks."""

    async def expire(self, older_than: float, most: int) -> int:
        """Deletes up to `most` clicks that began more than `older_than` seconds ago; returns how many."""
        ...


class LeadRows(Protocol):
    """Deletes leads of click identities."""

    async def expire(self, most: int) -> int:
        """Deletes up to `most` lapsed leads; returns how many."""
        ...


class WebhookRows(Protocol):
    """Deletes dead letters of webhooks."""

    async def expire(self, older_than: float) -> int:
        """Deletes dead letters of more than `older_than` seconds ago; returns how many."""
        ...


class Retention:
    """Deletes what is older than the retention time, a little at a time."""

    def __init__(
        self,
        clicks: ClickRows,
        leads: LeadRows,
        webhooks: WebhookRows,
        *,
        retention: float,
        on_done: Callable[[], None] = lambda: None,
    ) -> None:
        """Keeps everything for `retention` seconds; `on_done` is called after every run without an error."""
        self._clicks = clicks
        self._leads = leads
        self._webhooks = webhooks
        self._retention = retention
        self._on_done = on_done

    async def run(self) -> None:
        """Works once a minute until it is cancelled."""
        while True:
            try:
                await self.once()
            except ClicktraceError as error:
                log.warning("maintenance.failed", reason=error.reason)
            await asyncio.sleep(_EVERY)

    async def once(self) -> int:
        """Deletes everything past its retention time; returns the number of clicks."""
        clicks = 0
        while deleted := await self._clicks.expire(self._retention, _BATCH):
            clicks += deleted
        while await self._leads.expire(_BATCH):
            pass
        letters = await self._webhooks.expire(self._retention)
        self._on_done()
        if clicks or letters:
            log.info("maintenance.done", clicks=clicks, dead_webhooks=letters)
        return clicks
