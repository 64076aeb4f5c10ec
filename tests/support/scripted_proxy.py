"""Proxies that tests script: every target leads to the same servers of the test, so no name is ever resolved."""

import asyncio
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.support.origin import RawServer, Request, Wire, read_request

Intercept = Callable[[Request, Wire], Awaitable[bool]]
"""Looks at a request to the proxy; returns whether it has dealt with it."""


class ForwardProxy(RawServer):
    """An HTTP proxy: tunnels CONNECT, passes other requests on unchanged, unless `intercept` deals with them.

    Tunnels that carry TLS end at `secure`, which is the same server as `plain` if not given; all else ends at `plain`.
    """

    def __init__(
        self,
        plain: RawServer,
        secure: RawServer | None = None,
        *,
        intercept: Intercept | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(tls)
        self._plain = plain
        self._secure = secure or plain
        self._intercept = intercept
        self.requests: list[Request] = []
        """The first request of each connection: all CONNECTs, and those that opened a connection."""

    async def serve(self, wire: Wire, connection: int) -> None:
        """Serves one connection to the proxy."""
        request = await read_request(wire.reader, connection)
        if request is None:
            return
        self.requests.append(request)
        await self.notify()
        if self._intercept is not None and await self._intercept(request, wire):
            return
        if request.method == "CONNECT":
            upstream = await self._tunnel(wire)
        else:
            upstream = await dial(self._plain)
            await upstream.send(request.raw)
        await pipe(wire, upstream)

    async def _tunnel(self, wire: Wire) -> Wire:
        established = b"HTTP/1.1 200 Connection established\r\n\r\n"
        if self._secure is self._plain:
            upstream = await dial(self._plain)
            await wire.send(established)
            return upstream
        await wire.send(established)
        first = await wire.reader.read(65536)
        # The first byte of every TLS session is that of a handshake record (RFC 8446 5.1).
        upstream = await dial(self._secure if first[:1] == b"\x16" else self._plain)
        await upstream.send(first)
        return upstream


@dataclass(slots=True)
class SocksTarget:
    """What a SOCKS client asked for."""

    host: str
    port: int
    address_type: int
    """1 IPv4, 3 name, 4 IPv6 (RFC 1928)."""


@dataclass(slots=True)
class SocksScript:
    """How a SOCKS5 proxy behaves; the defaults are those of a good one without credentials."""

    credentials: tuple[bytes, bytes] | None = None
    reply: int = 0
    """The code of the reply to a request, 0 for success."""
    greet: Callable[[Wire], Awaitable[bool]] | None = None
    """Runs in place of the greeting; returns whether it has dealt with the connection."""
    respond: Callable[[Wire], Awaitable[bool]] | None = None
    """Runs in place of the reply; returns whether it has dealt with the connection."""
    targets: list[SocksTarget] = field(default_factory=list)


class SocksProxy(RawServer):
    """A SOCKS5 proxy (RFC 1928, RFC 1929) behind which every target is the same server."""

    def __init__(self, behind: RawServer, script: SocksScript | None = None) -> None:
        super().__init__()
        self._behind = behind
        self.script = script or SocksScript()

    async def serve(self, wire: Wire, connection: int) -> None:  # noqa: ARG002
        """Serves one connection to the proxy."""
        script = self.script
        if script.greet is not None and await script.greet(wire):
            return
        if not await self._greeted(wire):
            return
        target = await _socks_target(wire.reader)
        script.targets.append(target)
        await self.notify()
        if script.respond is not None and await script.respond(wire):
            return
        if script.reply:
            await wire.send(bytes([5, script.reply, 0, 1, 0, 0, 0, 0, 0, 0]))
            return
        upstream = await dial(self._behind)
        await wire.send(bytes([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]))
        await pipe(wire, upstream)

    async def _greeted(self, wire: Wire) -> bool:
        _, count = await wire.reader.readexactly(2)
        methods = await wire.reader.readexactly(count)
        wanted = 0 if self.script.credentials is None else 2
        if wanted not in methods:
            await wire.send(b"\x05\xff")
            return False
        await wire.send(bytes([5, wanted]))
        if self.script.credentials is None:
            return True
        _, length = await wire.reader.readexactly(2)
        name = await wire.reader.readexactly(length)
        (length,) = await wire.reader.readexactly(1)
        password = await wire.reader.readexactly(length)
        accepted = (name, password) == self.script.credentials
        await wire.send(b"\x01\x00" if accepted else b"\x01\x01")
        return accepted


async def _socks_target(reader: asyncio.StreamReader) -> SocksTarget:
    _, _, _, kind = await reader.readexactly(4)
    if kind == 3:
        (length,) = await reader.readexactly(1)
        host = (await reader.readexactly(length)).decode()
    elif kind == 1:
        host = ".".join(map(str, await reader.readexactly(4)))
    else:
        host = (await reader.readexactly(16)).hex(":", 2)
    (port,) = struct.unpack("!H", await reader.readexactly(2))
    return SocksTarget(host, port, kind)


async def dial(server: RawServer) -> Wire:
    """Connects to a server, as a client without TLS."""
    return Wire(*await asyncio.open_connection(server.host, server.port))


async def pipe(one: Wire, other: Wire, seen: Callable[[bytes], None] | None = None) -> None:
    """Passes bytes both ways until both sides have closed; when it is cancelled, both end.

    `seen` is told of everything that comes from `one`.
    """
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(one, other, seen))
            group.create_task(_copy(other, one, None))
    except* OSError:
        pass  # One side broke, as tests make it do; the other is closed below.
    finally:
        one.reset()
        other.reset()


async def _copy(source: Wire, sink: Wire, seen: Callable[[bytes], None] | None) -> None:
    while data := await source.reader.read(65536):
        if seen is not None:
            seen(data)
        await sink.send(data)
    if sink.writer.can_write_eof():
        sink.writer.write_eof()
    else:
        sink.close()
