"""The far side of every click: proxies on as many addresses as one likes, and the chains behind them, in one process.

`python -m bench.world.network` prints its port; it listens on that port of every address in 127.0.0.0/8, and each of
them is a proxy. It answers absolute-form requests as if it had passed them on, so it costs the measured ones next to
nothing. CONNECT is refused, or accepted with `--tunnels`:

    /wait/MS/N        answers after MS milliseconds, and leads to /wait/MS/N-1; /wait/MS/0 is a landing page
    /break/MS/N       the same, but instead of landing drops the connection
    /hostile/KIND     what nobody should answer; see `_HOSTILE`
    /audit/SECONDS    says as JSON how many requests came, and which addresses two clicks used within so many seconds

The query travels along. A click that names itself there (`c=ID`) is watched: see `Audit`.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field

import uvloop

from bench.world.chain import Chain

_MOVED = b"HTTP/1.1 302 Found\r\nLocation: %b\r\nSet-Cookie: hop=%d; Path=/\r\nContent-Length: 5\r\n\r\nmoved"
_FOUND = b"HTTP/1.1 302 Found\r\n"
_EMPTY = b"Content-Length: 0\r\n\r\n"
_HOSTILE = {
    b"metadata": _FOUND + b"Location: http://169.254.169.254/latest/meta-data/\r\n" + _EMPTY,
    b"script": _FOUND + b"Location: javascript:alert(1)\r\n" + _EMPTY,
    b"twice": _FOUND + b"Location: http://a.test/\r\nLocation: http://b.test/\r\n" + _EMPTY,
    b"nonsense": b"\x16\x03\x01\x00\xa5 this is no HTTP\r\n\r\n",
    b"headers": _FOUND + b"X-Filler: %b\r\n" % (b"x" * 8_000) * 100 + _EMPTY,
    b"circle": _FOUND + b"Location: /hostile/circle\r\n" + _EMPTY,
}


@dataclass
class _Use:
    click: bytes
    until: float


@dataclass
class Audit:
    """Which click used which address when, as the proxies saw it: the last word on leases that were given out twice."""

    requests: int = 0
    _uses: dict[str, _Use] = field(default_factory=dict)
    _gaps: list[tuple[float, str, str, str]] = field(default_factory=list)

    def seen(self, address: str, click: bytes) -> None:
        """Notes that a click was active at an address just now."""
        now = time.monotonic()
        last = self._uses.get(address)
        if last is None:
            self._uses[address] = _Use(click, now)
            return
        if last.click != click:
            self._gaps.append((now - last.until, address, last.click.decode(), click.decode()))
            last.click = click
        last.until = now

    def report(self, least: float) -> bytes:
        """Returns what was seen, with the changes of hands that came sooner than `least` seconds after the last use."""
        short = [gap for gap in self._gaps if gap[0] < least]
        seen = {"requests": self.requests, "changes": len(self._gaps), "short": short}
        return json.dumps(seen).encode()


class Network(Chain):
    """One connection to one of the proxies."""

    audit = Audit()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Notes by which address the request leaves."""
        super().connection_made(transport)
        self._address: str = transport.get_extra_info("sockname")[0]

    def _answer(self, target: bytes) -> None:
        whole = target.partition(b"://")[2].partition(b"/")[2] if b"://" in target else target[1:]
        path, _, query = whole.partition(b"?")
        kind, _, rest = path.partition(b"/")
        if kind == b"audit":
            self._say(self.audit.report(float(rest)))
            return
        self.audit.requests += 1
        click = query[2:].partition(b"&")[0] if query.startswith(b"c=") else b""
        if click:
            self.audit.seen(self._address, click)
        if kind == b"hostile":
            self._transport.write(_HOSTILE[rest])
            return
        milliseconds, _, left = rest.partition(b"/")
        asyncio.get_running_loop().call_later(
            int(milliseconds) / 1000, self._go_on, kind, milliseconds, int(left), query, click
        )

    def _go_on(self, kind: bytes, milliseconds: bytes, left: int, query: bytes, click: bytes) -> None:
        if self._transport.is_closing():
            return
        if click:
            self.audit.seen(self._address, click)
        if left:
            following = b"http://h%d.test/%b/%b/%d?%b" % (left, kind, milliseconds, left - 1, query)
            self._transport.write(_MOVED % (following, left))
        elif kind == b"break":
            self._transport.abort()
        else:
            self.land()

    def _say(self, body: bytes) -> None:
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


async def serve() -> None:
    """Serves until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Network, "0.0.0.0", 0, backlog=4096)  # noqa: S104 - see above
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    Chain.tunnels = "--tunnels" in sys.argv
    uvloop.run(serve())
