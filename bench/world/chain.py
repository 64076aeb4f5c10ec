"""A chain of redirects behind a forward proxy, both in one process that costs the measured ones nothing.

`python -m bench.world.chain` prints its port. It answers absolute-form requests as if it had passed them on: `/N`
redirects to `/N-1`, down to a landing page at `/0`; `/held` answers only when `/release` is asked for, and `/until?N`
when N requests are held. CONNECT is refused, so that walks are forwarded as those of the other measured ones are, or
accepted with `--tunnels`.
"""

import asyncio
import sys
from typing import ClassVar, cast

import uvloop

_PAGE = b"<!doctype html><title>Landing</title><h1>Landing</h1>" + b"<p>text</p>" * 40

_TUNNEL = b"HTTP/1.1 200 Connection established\r\n\r\n"
_NO_TUNNEL = b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"


class Chain(asyncio.Protocol):
    """Answers the requests of one connection."""

    # What all connections of the process have in common.
    held: ClassVar[set["Chain"]] = set()
    until: ClassVar[list[tuple[int, "Chain"]]] = []
    tunnels: ClassVar[bool] = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._unread = b""

    def connection_lost(self, _error: Exception | None) -> None:
        """Forgets who has gone."""
        self.held.discard(self)

    def data_received(self, data: bytes) -> None:
        """Answers every request that is whole."""
        self._unread += data
        while (end := self._unread.find(b"\r\n\r\n")) >= 0:
            head, self._unread = self._unread[:end], self._unread[end + 4 :]
            method, target, _ = head.split(b" ", 2)
            if method == b"CONNECT":
                self._transport.write(_TUNNEL if self.tunnels else _NO_TUNNEL)
            else:
                self._answer(target)

    def _answer(self, target: bytes) -> None:
        path = target.partition(b"://")[2].partition(b"/")[2] if b"://" in target else target[1:]
        word, _, number = path.partition(b"?")
        match word:
            case b"held":
                self.held.add(self)
                self._tell()
            case b"until":
                self.until.append((int(number), self))
                self._tell()
            case b"release":
                for one in tuple(self.held):
                    one.land()
                self.held.clear()
                self.land()
            case b"0" | b"":
                self.land()
            case _:
                self._redirect(int(word))

    def _tell(self) -> None:
        """Answers those who wait for as many held requests as there are."""
        for waiting in [waiting for waiting in self.until if waiting[0] <= len(self.held)]:
            self.until.remove(waiting)
            waiting[1].land()

    def _redirect(self, number: int) -> None:
        self._transport.write(
            b"HTTP/1.1 302 Found\r\nLocation: http://h%d.example.com/%d?clickid=abc%d\r\nSet-Cookie: s%d=1; Path=/\r\n"
            b"Content-Type: text/html\r\nContent-Length: 5\r\n\r\nmoved" % (number, number - 1, number, number)
        )

    def land(self) -> None:
        """Answers with a page."""
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n\r\n%b"
            % (len(_PAGE), _PAGE)
        )


async def ask(port: int, path: str) -> None:
    """Asks a chain for something outside the measured work: `/until?N` or `/release`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def serve() -> None:
    """Serves until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Chain, "127.0.0.1", 0, backlog=4096)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    Chain.tunnels = "--tunnels" in sys.argv
    uvloop.run(serve())
