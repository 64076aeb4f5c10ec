"""Telling of a walk: each hop at once or, where the caller allows that, in one message with what comes after it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

from services.tracer.model import Hop, Result

Send = Callable[[Hop | Result, Sequence[Hop]], Awaitable[None]]


class Report:
    """Hands on what one walk reports, in order, while it is entered as an async context manager.

    `send` takes an event, and the hops that waited for it.
    """

    def __init__(self, send: Send, *, hop_delay: float) -> None:
        """Prepares a report in which a hop waits at most `hop_delay` seconds."""
        self._send = send
        self._hop_delay = hop_delay
        self._waiting: list[Hop] = []
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drops what was not sent."""
        self._disarm()
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.wait([self._flushing])

    async def hop(self, hop: Hop) -> None:
        """Reports a hop, now or soon."""
        if not self._hop_delay:
            await self._send(hop, ())
            return
        if self._flushing is not None and self._flushing.done():
            await self._flushed()
        self._waiting.append(hop)
        if self._timer is None and self._flushing is None:
            self._timer = asyncio.get_running_loop().call_later(self._hop_delay, self._flush)

    async def result(self, result: Result) -> None:
        """Reports the result, and with it the hops that wait."""
        self._disarm()
        await self._flushed()
        await self._send(result, self._taken())

    def _flush(self) -> None:
        self._timer = None
        self._flushing = asyncio.create_task(self._tell_waiting())

    async def _tell_waiting(self) -> None:
        while self._waiting:
            *earlier, last = self._taken()
            await self._send(last, earlier)

    async def _flushed(self) -> None:
        """Waits for hops that are on their way, and raises what went wrong with them."""
        if self._flushing is not None:
            await self._flushing
            self._flushing = None

    def _taken(self) -> Sequence[Hop]:
        waiting, self._waiting = self._waiting, []
        return waiting

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
