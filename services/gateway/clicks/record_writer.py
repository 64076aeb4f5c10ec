"""Record buffer: writes click records to the database in groups, without delaying visitors.

A record is a whole, versioned snapshot of its click. So of a click that changes while it waits to be written only the
newest snapshot is written, a repeat after a lost answer is harmless, and order does not matter.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from opentelemetry import trace
from opentelemetry.trace import Span

from libs.common import batching
from libs.common.errors import ClicktraceError
from libs.common.observability import metrics, spans
from libs.common.process import logs
from services.gateway.model import ClickRecord

log = logs.get(__name__)

_tracer = trace.get_tracer(__name__)

# The ids of a group go into one notification, which holds 8,000 bytes.
_GROUP = 200
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


class RecordStore(Protocol):
    """Stores click records."""

    async def write(self, records: Sequence[ClickRecord]) -> None:
        """Writes all or none; ValueError when one of them can never be written, ClicktraceError when none can now."""
        ...


@dataclass(slots=True)
class _Entry:
    record: ClickRecord
    span: Span
    """A click with a snapshot that is not written yet."""
    waiting: list[asyncio.Future[bool]] = field(default_factory=list)


class RecordWriter:
    """Writes records in the background while it is entered as an async context manager; leaving it writes the rest."""

    def __init__(
        self,
        store: RecordStore,
        *,
        capacity: int,
        close_within: float = 5.0,
        on_drop: Callable[[int], None] = lambda _clicks: None,
    ) -> None:
        """Keeps up to `capacity` clicks while the store is gone; at the end tries for `close_within` seconds more.

        `on_drop` receives the number of clicks lost, each time some are.
        """
        self._store = store
        self._capacity = capacity
        self._close_within = close_within
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._down = False
        self._on_drop = on_drop
        self._metrics = metrics.Group("record.group", self)
        self.dropped = 0
        """Number of clicks whose last record was lost."""

    @property
    def depth(self) -> int:
        """Number of clicks that wait to be written."""
        return len(self._entries)

    async def __aenter__(self) -> Self:
        self._worker = asyncio.create_task(self._work(), name="journal")
        self._metrics.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._metrics.close()
        self._closing.set()
        self._wake.set()
        if self._worker is None:
            return
        try:
            async with asyncio.timeout(self._close_within):
                await self._worker
        except TimeoutError:
            for entry in self._entries.values():
                self._drop(entry, "JOURNAL_CLOSED")
            log.error("journal.lost", clicks=len(self._entries))  # noqa: TRY400 - the stack says nothing more

    def put(self, record: ClickRecord) -> None:
        """Takes a record to be written soon; drops the click that waits longest when there is no room."""
        self._enter(record)

    async def durable(self, record: ClickRecord, *, within: float) -> bool:
        """Takes a record and waits until it is written, for at most `within` seconds; returns whether it is.

        Does not wait at all while the store is known to be gone: a visitor gains nothing from that.
        """
        entry = self._enter(record)
        if self._down:
            return False
        loop = asyncio.get_running_loop()
        written: asyncio.Future[bool] = loop.create_future()
        entry.waiting.append(written)
        # Ends the wait as the worker does, and costs half of what asyncio.timeout() does.
        late = loop.call_later(within, _settle, written, False)
        try:
            return await written
        finally:
            late.cancel()

    def _enter(self, record: ClickRecord) -> _Entry:
        entry = self._entries.get(record.click_id)
        if entry is None:
            while len(self._entries) >= self._capacity:
                _, lost = self._entries.popitem(last=False)
                self._release(lost, written=False)
                self._drop(lost, "JOURNAL_FULL")
            entry = _Entry(record, _tracer.start_span("record"))
            self._entries[record.click_id] = entry
        elif record.version > entry.record.version:
            entry.record = record
        self._wake.set()
        return entry

    async def _work(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            if not self._entries:
                if self._closing.is_set():
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            # A flood of refused clicks so costs PostgreSQL a sixth less (measured).
            await batching.arrivals(lambda: len(self._entries), enough=_GROUP)
            group = [self._entries.popitem(last=False)[1] for _ in range(min(_GROUP, len(self._entries)))]
            self._metrics.ran(len(group))
            try:
                await self._write(group)
            except Exception as error:
                # Whatever it is, the records are worth another try, and the worker must outlive it.
                self._restore(group)
                if not self._down:
                    log.log(
                        logging.ERROR,
                        "journal.down",
                        waiting=len(self._entries),
                        error=str(error),
                        exc_info=not isinstance(error, ClicktraceError),
                    )
                self._down = True
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            if self._down:
                log.info("journal.up", waiting=len(self._entries), dropped=self.dropped)
            self._down = False
            pause = _FIRST_PAUSE
            for entry in group:
                self._release(entry, written=True)
                entry.span.end()

    async def _write(self, group: Sequence[_Entry]) -> None:
        """Writes a group; where the store refuses one of it, writes them one by one and drops the refused ones."""
        try:
            with spans.group("record.group", [entry.span for entry in group]):
                await self._store.write([entry.record for entry in group])
        except ValueError as error:
            if len(group) == 1:
                self._drop(group[0], "RECORD_REFUSED")
                click_id = group[0].record.click_id
                log.error("journal.refused", click_id=click_id, error=str(error))  # noqa: TRY400 - as above
                return
            for entry in group:
                await self._write([entry])

    def _restore(self, group: Sequence[_Entry]) -> None:
        """Puts a group that was not written back in front, unless something newer of the same click has come."""
        for entry in reversed(group):
            self._release(entry, written=False)
            newer = self._entries.get(entry.record.click_id)
            if newer is None:
                self._entries[entry.record.click_id] = entry
                self._entries.move_to_end(entry.record.click_id, last=False)
            else:
                entry.span.end()

    def _drop(self, entry: _Entry, why: str) -> None:
        """Counts a click that is not in the log as it ended, and says so in its trace."""
        self.dropped += 1
        self._on_drop(1)
        spans.fail(entry.span, why)
        entry.span.end()

    @staticmethod
    def _release(entry: _Entry, *, written: bool) -> None:
        """Wakes the callers that wait for an entry: it is written, or will not be for a while."""
        for future in entry.waiting:
            _settle(future, written)
        entry.waiting.clear()


def _settle(future: asyncio.Future[bool], written: bool) -> None:
    if not future.done():
        future.set_result(written)
