"""An origin whose every byte is written by the test: a raw socket server that only reads request heads."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request, as it came."""

    method: str
    target: str
    """As it stood in the request line: a path, an absolute URL, or host:port."""
    headers: tuple[tuple[str, str], ...]
    """Names in lower case."""
    connection: int
    """Counts the connections of the server, from 1."""
    raw: bytes

    def header(self, name: str) -> str | None:
        """Returns the first header of that lower-case name."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def path(self) -> str:
        """The target without scheme and host, which a request through a forward proxy has."""
        _, separator, rest = self.target.partition("://")
        return "/" + rest.partition("/")[2] if separator else self.target


class Wire:
    """One connection, from the server's side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *parts: bytes) -> None:
        """Sends bytes as they are."""
        self.writer.write(b"".join(parts))
        await self.writer.drain()

    async def gone(self) -> None:
        """Waits until the other side has closed its end, dropping what it still sends."""
        while await self.reader.read(65536):
            pass

    def close(self) -> None:
        """Ends the connection in order."""
        # Closed twice over TLS, it could not be reset any more (Python 3.11.2, that of Debian 12).
        if not self.closed:
            self.writer.close()

    def reset(self) -> None:
        """Ends the connection with a reset."""
        self.writer.transport.abort()

    @property
    def closed(self) -> bool:
        """Whether this side has closed."""
        return self.writer.is_closing()


Respond = Callable[[Request, Wire], Awaitable[bytes | None]]
"""Answers a request: with bytes to send, or with None when it has done all that was to be done."""


class RawServer:
    """Listens on a free port of the loopback and serves each connection in a task that ends with the server."""

    def __init__(self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._tls = tls
        self.host = host
        self.port = 0
        self.connections = 0
        self.open = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self.host, 0, ssl=self._tls, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until a condition on this server holds; looked at after each request and connection."""
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(condition)

    async def serve(self, wire: Wire, connection: int) -> None:
        """Serves one connection."""
        raise NotImplementedError

    async def notify(self) -> None:
        """Wakes those who wait for a condition."""
        async with self._changed:
            self._changed.notify_all()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._run(Wire(reader, writer), self.connections))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, wire: Wire, connection: int) -> None:
        self.open += 1
        try:
            await self.serve(wire, connection)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # The other side went away, as tests make it do.
        finally:
            wire.reset() if wire.closed else wire.close()
            self.open -= 1
            await self.notify()


class Origin(RawServer):
    """Answers each request with what `respond` says, and keeps every request."""

    def __init__(self, respond: Respond, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        super().__init__(tls, host)
        self._respond = respond
        self.requests: list[Request] = []

    async def serve(self, wire: Wire, connection: int) -> None:
        """Answers requests until either side closes."""
        while not wire.closed:
            request = await read_request(wire.reader, connection)
            if request is None:
                return
            self.requests.append(request)
            await self.notify()
            answer = await self._respond(request, wire)
            if answer is not None:
                await wire.send(answer)


async def read_request(reader: asyncio.StreamReader, connection: int) -> Request | None:
    """Reads one request head; None when the other side closed before another one."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *rest = raw[:-4].decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = tuple((line.partition(":")[0].lower(), line.partition(":")[2].strip()) for line in rest)
    return Request(method, target, headers, connection, raw)


def answer(status: int, headers: Iterable[tuple[str, str | bytes]] = (), body: bytes = b"") -> bytes:
    """Builds a response with a Content-Length; header values that are bytes go out as they are."""
    lines = [f"HTTP/1.1 {status} Scripted".encode(), f"Content-Length: {len(body)}".encode()]
    for name, value in headers:
        lines.append(name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def redirect(location: str | bytes, status: int = 302) -> bytes:
    """Builds a redirect."""
    return answer(status, [("Location", location)])


def page(html: str | bytes, content_type: str = "text/html; charset=utf-8") -> bytes:
    """Builds a page."""
    return answer(200, [("Content-Type", content_type)], html if isinstance(html, bytes) else html.encode())
