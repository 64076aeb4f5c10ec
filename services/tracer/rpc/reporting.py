"""Sends the events of a walk: each hop at once or, if the caller allows a delay, in one message with later events."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

from services.tracer.model.report import Hop, Result

GROUP_BYTES = 1024 * 1024
"""Of the hops in one message, roughly; with a last hop and a result it stays below the 4 MiB that gRPC receives."""

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
        self._waiting_bytes = 0
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
        self._waiting_bytes += _size(hop)
        if self._flushing is not None:
            return
        if self._waiting_bytes >= GROUP_BYTES:
            self._disarm()
            self._flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._hop_delay, self._flush)

    async def result(self, result: Result) -> None:
        """Sends the result together with the hops that are held back."""
        self._disarm()
        await self._flushed()
        group = self._next_group()
        while self._waiting:
            *earlier, last = group
            await self._send(last, earlier)
            group = self._next_group()
        await self._send(result, group)

    def _flush(self) -> None:
        self._timer = None
        self._flushing = asyncio.create_task(self._tell_waiting())

    async def _tell_waiting(self) -> None:
        while self._waiting:
            *earlier, last = self._next_group()
            await self._send(last, earlier)

    async def _flushed(self) -> None:
        """Waits for hops that are being sent, and raises the error if sending failed."""
        if self._flushing is not None:
            await self._flushing
            self._flushing = None

    def _next_group(self) -> Sequence[Hop]:
        """Takes the hops that fit into one message: at least one, if any is held back."""
        group, size = self._waiting, self._waiting_bytes
        self._waiting, self._waiting_bytes = [], 0
        if size >= GROUP_BYTES and len(group) > 1:
            size = _size(group[0])
            fitting = 1
            while fitting < len(group) and (size := size + _size(group[fitting])) < GROUP_BYTES:
                fitting += 1
            group, self._waiting = group[:fitting], group[fitting:]
            self._waiting_bytes = sum(map(_size, self._waiting))
        return group

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _size(hop: Hop) -> int:
    """Returns how many bytes of a message a hop takes, within a few hundred."""
    return len(hop.url) + len(hop.next_url) + 2 * sum(map(len, hop.set_cookie_names)) + 4 * len(hop.snippet)
