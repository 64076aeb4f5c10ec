"""One browser that looks: what waits to be sent to it."""

import asyncio
from collections import deque
from collections.abc import Callable

_QUEUED_FRAMES = 12


class Viewer:
    """One browser: frames that wait for it, or the whole picture if it was too slow."""

    def __init__(self, snapshot: Callable[[], bytes]) -> None:
        """Begins with a snapshot."""
        self._snapshot = snapshot
        self._frames: deque[bytes] = deque()
        self._behind = True
        self.is_over = False
        """Whether no more will come."""
        self._news = asyncio.Event()
        self._news.set()

    def push(self, frame: bytes) -> None:
        """Hands over a frame."""
        if len(self._frames) >= _QUEUED_FRAMES:
            self._behind = True
        if self._behind:
            self._frames.clear()
        else:
            self._frames.append(frame)
        self._news.set()

    def close(self) -> None:
        """Ends the view."""
        self.is_over = True
        self._news.set()

    async def take(self, patience: float) -> bytes:
        """Returns what is to be sent next; empty if nothing came for `patience` seconds."""
        try:
            async with asyncio.timeout(patience):
                await self._news.wait()
        except TimeoutError:
            return b""
        self._news.clear()
        if self._behind:
            self._behind = False
            self._frames.clear()
            return self._snapshot()
        frames = b"".join(self._frames)
        self._frames.clear()
        return frames
