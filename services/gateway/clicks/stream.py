"""Streams clicks to watchers as they are answered, and as late traces end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from libs.common.errors import ClicktraceError, Code
from libs.common.process import logs
from services.gateway.model import ClickRecord

log = logs.get(__name__)

_MOST_IDS = 10_000
_MOST_RECORDS = 1_000
_GROUP = 200


class ClickReader(Protocol):
    """Reads click records."""

    async def get_many(self, click_ids: Sequence[str]) -> Sequence[ClickRecord]:
        """Returns the whole records of the clicks that exist, in order."""
        ...


class ClickStream:
    """Reads each click once for all watchers of this gateway; reads nothing while nobody watches."""

    def __init__(self, clicks: ClickReader) -> None:
        """Reads from a store; `run` does the work."""
        self._clicks = clicks
        self._written: asyncio.Queue[str] = asyncio.Queue(_MOST_IDS)
        self._watchers: set[asyncio.Queue[ClickRecord | None]] = set()
        self._closed = False

    def written(self, click_id: str) -> None:
        """Receives the id of a click of which a record was written, here or at another gateway."""
        if self._watchers and not self._written.full():
            self._written.put_nowait(click_id)

    async def run(self) -> None:
        """Reads and distributes records until it is cancelled."""
        while True:
            ids = [await self._written.get()]
            while not self._written.empty() and len(ids) < _GROUP:
                ids.append(self._written.get_nowait())
            try:
                records = await self._clicks.get_many(list(dict.fromkeys(ids)))
            except ClicktraceError as error:
                log.warning("feed.unread", clicks=len(ids), reason=error.reason)
                continue
            for watcher in tuple(self._watchers):
                for record in records:
                    self._hand(watcher, record)

    @contextmanager
    def watch(self, offer: str) -> Iterator[AsyncIterator[ClickRecord]]:
        """Gives clicks of an offer (of all if empty) from now on, until the block or the feed ends.

        The iterator raises RESOURCE_EXHAUSTED/WATCHER_TOO_SLOW for who takes clicks more slowly than they come.
        """
        inbox: asyncio.Queue[ClickRecord | None] = asyncio.Queue(_MOST_RECORDS)
        if self._closed:
            inbox.put_nowait(None)
        self._watchers.add(inbox)
        try:
            yield self._taken(inbox, offer)
        finally:
            self._watchers.discard(inbox)

    async def _taken(self, inbox: "asyncio.Queue[ClickRecord | None]", offer: str) -> AsyncGenerator[ClickRecord, None]:
        while (record := await inbox.get()) is not None:
            if not offer or record.offer == offer:
                yield record
        if not self._closed:
            raise ClicktraceError(
                Code.RESOURCE_EXHAUSTED, "WATCHER_TOO_SLOW", "clicks come faster than they are taken; watch one offer"
            )

    def close(self) -> None:
        """Ends every watch."""
        self._closed = True
        for watcher in tuple(self._watchers):
            self._hand(watcher, None)

    def _hand(self, watcher: "asyncio.Queue[ClickRecord | None]", record: ClickRecord | None) -> None:
        if watcher.full():
            # The end takes the place of the oldest, and nothing comes behind it.
            self._watchers.discard(watcher)
            watcher.get_nowait()
            record = None
        watcher.put_nowait(record)
