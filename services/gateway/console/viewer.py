"""One connected browser, and the frames that are to be sent to it."""

import asyncio
from collections import deque
from collections.abc import Callable

_MAX_FRAMES = 12


class Viewer:
    """Queues frames for one browser; replaces them by a snapshot when 12 have piled up."""

    def __init__(self, snapshot: Callable[[], bytes]) -> None:
        """Starts with a snapshot, which `snapshot` renders when it is sent."""
        self._snapshot = snapshot
        self._frames: deque[bytes] = deque()
        self._behind = True
        self.is_over = False
        """Whether no more frames will come."""
        self._ready = asyncio.Event()
        self._ready.set()

    def push(self, frame: bytes) -> None:
        """Queues a frame."""
        if len(self._frames) >= _MAX_FRAMES:
            self._behind = True
        if self._behind:
            self._frames.clear()
        else:
            self._frames.append(frame)
        self._ready.set()

    def close(self) -> None:
        """Disconnects the browser once it has asked for more."""
        self.is_over = True
        self._ready.set()

    async def take(self, timeout: float) -> bytes:
        """Returns the next bytes to send; empty if none came within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._ready.wait()
        except TimeoutError:
            return b""
        self._ready.clear()
        if self._behind:
            self._behind = False
            self._frames.clear()
            return self._snapshot()
        frames = b"".join(self._frames)
        self._frames.clear()
        return frames
