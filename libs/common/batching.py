"""Group commit: what arrives while a run is under way goes into the next one.

There is no timer: where items have company, the event loop takes a few turns before a run to read what has arrived
already, and goes on while that brings more. So an idle system adds no wait, and a busy one forms groups as large as its
load. The caller of `submit` sees an ordinary call, and what the group does is part of the caller's trace.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Generic, NamedTuple, Self, TypeVar

from opentelemetry import trace
from opentelemetry.trace import Span

from libs.common.observability import metrics, spans

Item = TypeVar("Item")
Result = TypeVar("Result")


# A call takes some turns of the loop from its socket to here. On a busy loop groups come out twice as large as without,
# and a lease costs PostgreSQL a third less; to begin anew with each arrival gives a sixth more leases a second where
# callers come one by one. Where each item was alone, to wait is a tenth to a fifth of the time of a lease, for nothing
# (measured).
_TURNS = 8
# A group of this size is large enough, and the turns of a loop that has so much at hand are long.
_MANY = 32


async def arrivals(waiting: Callable[[], int], enough: int) -> None:
    """Lets the loop read what has arrived: until `enough` are waiting, or no more have come for some turns."""
    last, quiet = waiting(), 0
    while last < enough and quiet < _TURNS:
        await asyncio.sleep(0)
        now = waiting()
        quiet = quiet + 1 if now == last else 0
        last = now


class _Entry(NamedTuple, Generic[Item, Result]):
    item: Item
    future: "asyncio.Future[Result]"
    span: Span


class Grouper(Generic[Item, Result]):
    """Collects items into groups and runs one group at a time.

    `run` is given items of at most the size `max_group` together, or one that is larger, and returns one result or
    exception for each, in order; if it raises, every item of the group fails with that exception. Each item is of size
    1 unless `size` says otherwise. `abandoned` is told of the results of items whose submitter was
    cancelled while their group was under way, so that what was granted to nobody can be given back; it must not raise.
    `name` is that of the span which stands for a group of several callers, and that of its metrics.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        max_group: int,
        size: Callable[[Item], int] = lambda _: 1,
        name: str = "group",
        abandoned: Callable[[Item, Result], None] | None = None,
    ) -> None:
        """Prepares a grouper; it works while it is entered as an async context manager."""
        self._run = run
        self._max_group = max_group
        self._size = size
        self._name = name
        self._abandoned = abandoned
        self._waiting: deque[_Entry[Item, Result]] = deque()
        self._waiting_size = 0
        self._had_company = False
        self._wake = asyncio.Event()
        self._closing = False
        self._worker: asyncio.Task[None] | None = None
        self._metrics = metrics.Group(name, self)

    @property
    def depth(self) -> int:
        """How many items wait for the next group."""
        return len(self._waiting)

    async def __aenter__(self) -> Self:
        self._worker = asyncio.create_task(self._work(), name=f"grouper:{self._name}")
        self._metrics.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finishes everything that was submitted, then stops."""
        self._closing = True
        self._wake.set()
        if self._worker is not None:
            await self._worker
        self._metrics.close()

    async def submit(self, item: Item) -> Result:
        """Runs the item with the next group and returns its result, or raises its exception.

        A submitter that is cancelled before its group begins takes its item with it. RuntimeError when closed.
        """
        if self._closing or self._worker is None:
            raise RuntimeError("the grouper is not running")
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Entry(item, future, trace.get_current_span()))
        self._waiting_size += self._size(item)
        self._wake.set()
        return await future

    async def _work(self) -> None:
        while True:
            if self._waiting and self._had_company:
                await arrivals(lambda: self._waiting_size, enough=_MANY)
            group = self._take()
            if group:
                await self._run_group(group)
            elif self._closing:
                return
            else:
                self._wake.clear()
                await self._wake.wait()

    def _take(self) -> list[_Entry[Item, Result]]:
        group: list[_Entry[Item, Result]] = []
        room = self._max_group
        while self._waiting:
            entry = self._waiting[0]
            size = self._size(entry.item)
            if not entry.future.done():
                room -= size
                if group and room < 0:
                    break
                group.append(entry)
            self._waiting.popleft()
            self._waiting_size -= size
        return group

    async def _run_group(self, group: list[_Entry[Item, Result]]) -> None:
        results: Sequence[Result | Exception]
        self._had_company = len(group) > 1
        self._metrics.ran(len(group))
        try:
            with spans.group(self._name, [entry.span for entry in group]):
                results = await self._run([entry.item for entry in group])
        except Exception as error:  # noqa: BLE001 - it belongs to the submitters; the worker lives on for the next group
            results = [error] * len(group)
        if len(results) != len(group):
            results = [RuntimeError(f"a group of {len(group)} got {len(results)} results")] * len(group)
        for (item, future, _), result in zip(group, results, strict=True):
            if future.done():
                if self._abandoned is not None and not isinstance(result, Exception):
                    self._abandoned(item, result)
            elif isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
