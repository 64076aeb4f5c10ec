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

from libs.common.errors import ClicktraceError
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
    items: Sequence[Item]
    future: "asyncio.Future[Sequence[Result | Exception]]"
    span: Span


class Grouper(Generic[Item, Result]):
    """Collects items into groups and runs one group at a time.

    `run` receives at most `max_group` items and returns one result or exception for each, in order; if it raises, every
    item of the group fails with that exception. `abandoned` receives the results of items whose submitter was cancelled
    while their group was under way, so that what was granted to nobody can be given back; it must not raise. `name` is
    that of the span which stands for a group of several callers, and that of its metrics.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        max_group: int,
        name: str = "group",
        abandoned: Callable[[Item, Result], None] | None = None,
    ) -> None:
        """Prepares a grouper; it works while it is entered as an async context manager."""
        self._run = run
        self._max_group = max_group
        self._name = name
        self._abandoned = abandoned
        self._waiting: deque[_Entry[Item, Result]] = deque()
        self._depth = 0
        self._had_company = False
        self._wake = asyncio.Event()
        self._closing = False
        self._worker: asyncio.Task[None] | None = None
        self._metrics = metrics.Group(name, self)

    @property
    def depth(self) -> int:
        """Number of items that wait for the next group."""
        return self._depth

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
        (result,) = await self._enter((item,))
        if isinstance(result, Exception):
            raise result
        return result

    async def submit_all(self, items: Sequence[Item]) -> Sequence[Result | ClicktraceError]:
        """Runs items that came together in as few groups as can be; returns the result or error of each, in order.

        Raises any other exception, and RuntimeError when closed.
        """
        size = self._max_group
        if len(items) <= size:
            results = await self._enter(items) if items else ()
        else:
            chunks = [items[start : start + size] for start in range(0, len(items), size)]
            chunk_results = await asyncio.gather(*map(self._enter, chunks))
            results = [result for chunk in chunk_results for result in chunk]
        return [_result_or_error(result) for result in results]

    async def _enter(self, items: Sequence[Item]) -> Sequence[Result | Exception]:
        if self._closing or self._worker is None:
            raise RuntimeError("the grouper is not running")
        future: asyncio.Future[Sequence[Result | Exception]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Entry(items, future, trace.get_current_span()))
        self._depth += len(items)
        self._wake.set()
        return await future

    async def _work(self) -> None:
        while True:
            if self._waiting and self._had_company:
                await arrivals(lambda: self._depth, enough=_MANY)
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
            size = len(entry.items)
            if not entry.future.done():
                room -= size
                if room < 0:
                    break
                group.append(entry)
            self._waiting.popleft()
            self._depth -= size
        return group

    async def _run_group(self, group: list[_Entry[Item, Result]]) -> None:
        items = [item for entry in group for item in entry.items]
        results: Sequence[Result | Exception]
        self._had_company = len(group) > 1
        self._metrics.ran(len(items))
        try:
            with spans.group(self._name, [entry.span for entry in group]):
                results = await self._run(items)
        except Exception as error:  # noqa: BLE001 - it belongs to the submitters; the worker lives on for the next group
            results = [error] * len(items)
        if len(results) != len(items):
            results = [RuntimeError(f"a group of {len(items)} got {len(results)} results")] * len(items)
        start = 0
        for entry in group:
            end = start + len(entry.items)
            if not entry.future.done():
                entry.future.set_result(results[start:end])
            elif self._abandoned is not None:
                for item, result in zip(entry.items, results[start:end], strict=True):
                    if not isinstance(result, Exception):
                        self._abandoned(item, result)
            start = end


def _result_or_error(result: Result | Exception) -> Result | ClicktraceError:
    if isinstance(result, Exception) and not isinstance(result, ClicktraceError):
        raise result
    return result
