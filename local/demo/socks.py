"""The SOCKS side of a forward proxy: version 5, CONNECT, user name and password (RFC 1928, RFC 1929)."""

import ipaddress
import struct
from asyncio import StreamReader, StreamWriter
from contextlib import AbstractAsyncContextManager

from local.demo.proxy import Credentials, Dialer, Listener, Resolver, resolve_by_dns
from local.demo.relay import closing, relay

_VERSION = 5
_PASSWORD_METHOD = 2
_NO_METHOD = 0xFF
_CONNECT = 1
_GRANTED = 0
_HOST_UNREACHABLE = 4
_COMMAND_NOT_SUPPORTED = 7
_ADDRESS_NOT_SUPPORTED = 8


class SocksProxy:
    """A SOCKS5 server that wants credentials: `serve` is the life of one client connection."""

    def __init__(self, dialer: Dialer, credentials: Credentials) -> None:
        self._dialer = dialer
        self._credentials = credentials

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Greets, checks the credentials, connects, and moves bytes until both sides are done."""
        if not await self._may_pass(reader, writer):
            return
        version, command, _, kind = await reader.readexactly(4)
        if version != _VERSION:
            return
        host = await _read_host(reader, kind)
        if host is None:
            await _reply(writer, _ADDRESS_NOT_SUPPORTED)
            return
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        if command != _CONNECT:
            await _reply(writer, _COMMAND_NOT_SUPPORTED)
            return
        try:
            upstream_reader, upstream_writer = await self._dialer.dial(host, port)
        except (OSError, ValueError):
            await _reply(writer, _HOST_UNREACHABLE)
            return
        async with closing(upstream_writer):
            await _reply(writer, _GRANTED)
            await relay(reader, writer, upstream_reader, upstream_writer)

    async def _may_pass(self, reader: StreamReader, writer: StreamWriter) -> bool:
        version, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        usable = version == _VERSION and _PASSWORD_METHOD in methods
        await _send(writer, bytes((_VERSION, _PASSWORD_METHOD if usable else _NO_METHOD)))
        if not usable:
            return False
        await reader.readexactly(1)  # the version of the negotiation, which is 1
        username = await reader.readexactly((await reader.readexactly(1))[0])
        password = await reader.readexactly((await reader.readexactly(1))[0])
        passes = self._credentials.match(username.decode(errors="replace"), password.decode(errors="replace"))
        await _send(writer, bytes((1, 0 if passes else 1)))
        return passes


def socks_proxy(
    host: str, port: int, *, source: str, credentials: Credentials, resolver: Resolver = resolve_by_dns
) -> AbstractAsyncContextManager[Listener]:
    """Listens on `host:port` as a SOCKS5 proxy that leaves from `source`."""
    return Listener(host, port, SocksProxy(Dialer(source, resolver), credentials).serve)


async def _read_host(reader: StreamReader, kind: int) -> str | None:
    match kind:
        case 1:
            return str(ipaddress.IPv4Address(await reader.readexactly(4)))
        case 3:
            return (await reader.readexactly((await reader.readexactly(1))[0])).decode("latin-1")
        case 4:
            return str(ipaddress.IPv6Address(await reader.readexactly(16)))
        case _:
            return None


async def _reply(writer: StreamWriter, code: int) -> None:
    await _send(writer, bytes((_VERSION, code, 0, 1)) + bytes(6))


async def _send(writer: StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()
