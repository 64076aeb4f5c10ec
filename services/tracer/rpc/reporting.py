"""Sends the events of a walk: each hop at once or, if the caller allows a delay, in one message with later events."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

from services.tracer.model.report import Hop, Result

Send = Callable[[Hop | Result, Sequence[Hop]], Awaitable[None]]


class Report:
    """Sends the events of one walk in order; an async context manager.

    `send` takes an event and the hops that were held back for it.
    """

    def __init__(self, send: Send, *, hop_delay: float) -> None:
        """Holds a hop back for at most `hop_delay` seconds; 0 sends each hop at once."""
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
        """Drops hops that were not sent."""
        self._disarm()
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.wait([self._flushing])

    async def hop(self, hop: Hop) -> None:
        """Sends a hop, at once or within `hop_delay` seconds."""
        if not self._hop_delay:
            await self._send(hop, ())
            return
        if self._flushing is not None and self._flushing.done():
            await self._flushed()
        self._waiting.append(hop)
        if self._timer is None and self._flushing is None:
            self._timer = asyncio.get_running_loop().call_later(self._hop_delay, self._flush)

    async def result(self, result: Result) -> None:
        """Sends the result together with the hops that are held back."""
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
        """Waits for hops that are being sent, and raises the error if sending failed."""
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
