"""Visitors who click: an HTTP client that costs little and measures each answer by itself."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

_REQUEST = b"GET /track-hit?%b HTTP/1.1\r\nHost: click.example\r\nUser-Agent: Mozilla/5.0 (bench)\r\n%b\r\n"


BROKEN, REFUSED = 0, -1
"""Stand for a status where none came: the connection broke, or there was nobody to connect to."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer that a visitor got."""

    status: int
    location: str
    click_id: str
    seconds: float


class _Connection(asyncio.Protocol):
    """One connection, one click at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._unread = b""
        self._answer: asyncio.Future[bytes] | None = None

    def data_received(self, data: bytes) -> None:
        self._unread += data
        head, end, body = self._unread.partition(b"\r\n\r\n")
        if not end or self._answer is None:
            return
        length = int(_header(head, b"content-length") or b"0")
        if len(body) >= length:
            self._unread = body[length:]
            if not self._answer.done():
                self._answer.set_result(head)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("closed without an answer"))

    async def ask(self, request: bytes) -> bytes:
        """Sends a request and returns the head of its answer; OSError if none comes."""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        try:
            return await self._answer
        finally:
            self._answer = None


@dataclass
class Visitors:
    """Visitors of one gateway; connections are kept open and used again, unless every visitor is a new one."""

    port: int
    keep: bool = True
    _idle: deque[_Connection] = field(default_factory=deque)

    async def arrive(self, count: int) -> None:
        """Opens connections ahead of the clicks."""
        self._idle.extend(await asyncio.gather(*(self._connect() for _ in range(count))))

    async def click(self, query: str, *, address: str = "", timeout: float = 60.0) -> Answer:
        """Clicks; the status is BROKEN when the connection breaks or nothing comes for `timeout` seconds.

        With an `address` the click carries it in X-Forwarded-For, which the gateway has to trust.
        """
        forwarded = f"X-Forwarded-For: {address}\r\n".encode() if address else b""
        began = time.perf_counter()
        try:
            connection = self._take() or await self._connect()
        except OSError:
            return Answer(REFUSED, "", "", time.perf_counter() - began)
        try:
            async with asyncio.timeout(timeout):
                head = await connection.ask(_REQUEST % (query.encode(), forwarded))
        except OSError:  # A TimeoutError is one too.
            connection.transport.abort()
            return Answer(BROKEN, "", "", time.perf_counter() - began)
        seconds = time.perf_counter() - began
        if not self.keep or _header(head, b"connection").lower() == b"close":
            connection.transport.close()
        else:
            self._idle.append(connection)
        location, click_id = _header(head, b"location").decode(), _header(head, b"x-request-id").decode()
        return Answer(int(head.split(b" ", 2)[1]), location, click_id, seconds)

    def leave(self) -> None:
        """Closes idle connections."""
        while self._idle:
            self._idle.popleft().transport.close()

    def _take(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.popleft()
            if not connection.transport.is_closing():
                return connection
        return None

    async def _connect(self) -> _Connection:
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", self.port)
        return connection


def _header(head: bytes, name: bytes) -> bytes:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return b""


def quantile(values: Sequence[float], share: float) -> float:
    """Returns the value below which this share of all values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
