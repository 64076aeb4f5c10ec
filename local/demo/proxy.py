"""A forward proxy that leaves each listener's traffic from an address of its own (RFC 9110, 9112; Basic credentials).

It stands for what a proxy provider sells: CONNECT tunnels and plain requests, names resolved on its side, nothing
refused but wrong credentials. As those do, it adds neither Via nor Forwarded. A target that cannot be reached is a 502
of the proxy; a target that breaks off later breaks off the client's connection too, as in a tunnel.
"""

import asyncio
import base64
import binascii
import hmac
import ipaddress
import logging
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from local.demo.http_messages import (
    MAX_HEAD,
    NO_BODY,
    BadMessageError,
    Body,
    Head,
    move_body,
    read_head,
    request_body,
    response_body,
    write_head,
)
from local.demo.relay import closing, relay

log = logging.getLogger(__name__)

Resolver = Callable[[str, int], Awaitable[tuple[str, int]]]
"""Turns the host and port that a client asks for into the address and port to dial; OSError if there is none."""

_REASONS = {
    400: "Bad Request",
    407: "Proxy Authentication Required",
    431: "Request Header Fields Too Large",
    502: "Bad Gateway",
    504: "Gateway Timeout",
}


@dataclass(frozen=True)
class Credentials:
    """The credentials that a client has to send."""

    username: str
    password: str

    def match(self, username: str, password: str) -> bool:
        """Compares in constant time."""
        same_name = hmac.compare_digest(self.username.encode(), username.encode())
        return hmac.compare_digest(self.password.encode(), password.encode()) and same_name


async def resolve_by_dns(host: str, port: int) -> tuple[str, int]:
    """Asks the machine's resolver for an IPv4 address; OSError if there is none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, family=2, type=1)
    address = found[0][4]
    return str(address[0]), int(address[1])


class Dialer:
    """Opens connections to targets, from one source address.

    `source` is bound only towards loopback targets: a packet from a loopback address could not leave the machine.
    """

    def __init__(self, source: str, resolver: Resolver = resolve_by_dns, timeout: float = 10.0) -> None:
        """Dials from the address `source`, for at most `timeout` seconds."""
        self._source = source
        self._resolver = resolver
        self._timeout = timeout

    async def dial(self, host: str, port: int) -> tuple[StreamReader, StreamWriter]:
        """Connects to a target within `timeout` seconds; OSError (TimeoutError included) if that fails."""
        async with asyncio.timeout(self._timeout):
            address, port = await self._resolver(host, port)
            local = (self._source, 0) if ipaddress.ip_address(address).is_loopback else None
            return await asyncio.open_connection(address, port, local_addr=local, limit=MAX_HEAD)


class Listener:
    """A listening socket that owns the connections it accepted; leaving the block ends them all.

    `port` 0 takes a free port, which `port` then names.
    """

    def __init__(self, host: str, port: int, serve: Callable[[StreamReader, StreamWriter], Awaitable[None]]) -> None:
        self.host = host
        self.port = port
        self._serve = serve
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self.host, self.port, limit=MAX_HEAD, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._run(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            async with closing(writer):
                await self._serve(reader, writer)
        except* (OSError, asyncio.IncompleteReadError, BadMessageError):
            log.debug("a peer broke off")  # ordinary life of a proxy; the connection is closed by now
        except* Exception:
            log.exception("a connection failed")


class HttpProxy:
    """The HTTP side of a forward proxy: `serve` is the life of one client connection."""

    def __init__(self, dialer: Dialer, credentials: Credentials) -> None:
        self._dialer = dialer
        self._credentials = credentials

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Answers requests until the client or a body that ends by closing ends the connection."""
        while True:
            try:
                head = await read_head(reader)
                if head is None:
                    return
                if not self._may_pass(head):
                    body = request_body(head)
                    await _refuse(writer, 407, "wrong or missing credentials", keep_open=body == NO_BODY)
                    if body != NO_BODY:
                        return
                    continue
                if head.start[0] == "CONNECT":
                    await self._tunnel(head, reader, writer)
                    return
                if not await self._forward(head, reader, writer):
                    return
            except BadMessageError as error:
                await _refuse(writer, error.status, str(error))
                return

    def _may_pass(self, head: Head) -> bool:
        scheme, _, encoded = (head.first("proxy-authorization") or "").partition(" ")
        try:
            username, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return scheme.lower() == "basic" and bool(colon) and self._credentials.match(username, password)

    async def _tunnel(self, head: Head, reader: StreamReader, writer: StreamWriter) -> None:
        host, port = _authority(head.start[1], None)
        connection = await self._dial_or_refuse(host, port, writer)
        if connection is None:
            return
        upstream_reader, upstream_writer = connection
        async with closing(upstream_writer):
            writer.write(write_head("HTTP/1.1 200 Connection established", []))
            await writer.drain()
            await relay(reader, writer, upstream_reader, upstream_writer)

    async def _forward(self, head: Head, reader: StreamReader, writer: StreamWriter) -> bool:
        """Passes one plain request on; tells whether the client's connection can carry another."""
        method, target, version = head.start
        if version not in {"HTTP/1.0", "HTTP/1.1"}:
            raise BadMessageError("the version of HTTP is neither 1.0 nor 1.1")
        scheme, _, rest = target.partition("://")
        if scheme.lower() != "http":
            raise BadMessageError("a proxy is asked for a whole http:// URL, or by CONNECT")
        authority, path = _split_target(rest)
        host, port = _authority(authority, 80)
        body = request_body(head)
        connection = await self._dial_or_refuse(host, port, writer, keep_open=body == NO_BODY)
        if connection is None:
            return body == NO_BODY
        fields = [(name, value) for name, value in head.end_to_end() if name.lower() != "host"]
        upstream_reader, upstream_writer = connection
        async with closing(upstream_writer):
            # One connection for each request to the target: no answer can be taken for that of another request.
            upstream_writer.write(
                write_head(f"{method} {path} {version}", [("Host", authority), *fields, ("Connection", "close")])
            )
            client_stays = version == "HTTP/1.1" and "close" not in [
                option.lower() for option in (*head.values("connection"), *head.values("proxy-connection"))
            ]
            async with asyncio.TaskGroup() as group:
                # At the same time, because a target may answer before it has read the whole request.
                upload = group.create_task(_upload(body, reader, upstream_writer))
                client_stays = await _pass_response(method, upstream_reader, writer, client_stays=client_stays)
                if not upload.done():
                    upload.cancel()
                    client_stays = False
        return client_stays and upload.result()

    async def _dial_or_refuse(
        self, host: str, port: int, writer: StreamWriter, *, keep_open: bool = False
    ) -> tuple[StreamReader, StreamWriter] | None:
        try:
            return await self._dialer.dial(host, port)
        except TimeoutError:
            await _refuse(writer, 504, f"{host} does not answer", keep_open=keep_open)
        except (OSError, ValueError) as error:
            await _refuse(writer, 502, f"cannot reach {host}: {error}", keep_open=keep_open)
        return None


def http_proxy(
    host: str, port: int, *, source: str, credentials: Credentials, resolver: Resolver = resolve_by_dns
) -> AbstractAsyncContextManager[Listener]:
    """Listens on `host:port` as an HTTP proxy that leaves from `source`."""
    return Listener(host, port, HttpProxy(Dialer(source, resolver), credentials).serve)


async def _upload(body: Body, client: StreamReader, target: StreamWriter) -> bool:
    """Passes the body of a request on; False if the target stops taking it, because its answer still counts."""
    try:
        await move_body(body, client, target)
    except OSError:
        return False
    return True


async def _pass_response(method: str, source: StreamReader, client: StreamWriter, *, client_stays: bool) -> bool:
    """Passes interim responses and the final one on; tells whether the client's connection can carry another."""
    while True:
        head = await read_head(source)
        if head is None or not head.start[0].startswith("HTTP/1.") or not head.start[1].isdigit():
            raise ConnectionResetError("the target closed without an answer")
        body: Body = response_body(head, method)
        interim = 100 <= int(head.start[1]) < 200
        client_stays = client_stays and not body.ends_by_close
        fields = head.end_to_end()
        if not interim:
            fields.append(("Connection", "keep-alive" if client_stays else "close"))
        client.write(write_head(f"HTTP/1.1 {head.start[1]} {head.start[2]}", fields))
        await client.drain()
        if not interim:
            await move_body(body, source, client)
            return client_stays


async def _refuse(writer: StreamWriter, status: int, reason: str, *, keep_open: bool = False) -> None:
    text = f"{reason}\n".encode()
    fields = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(text))),
        ("Connection", "keep-alive" if keep_open else "close"),
    ]
    if status == 407:
        fields.append(("Proxy-Authenticate", 'Basic realm="clicktrace demo proxy"'))
    writer.write(write_head(f"HTTP/1.1 {status} {_REASONS[status]}", fields) + text)
    await writer.drain()


def _split_target(rest: str) -> tuple[str, str]:
    """Cuts what follows `http://` into authority and path with query; user information is not passed on."""
    end = min((index for index in (rest.find(mark) for mark in "/?#") if index >= 0), default=len(rest))
    path = rest[end:].partition("#")[0]
    return rest[:end].rpartition("@")[2], path if path.startswith("/") else f"/{path}"


def _authority(authority: str, default_port: int | None) -> tuple[str, int]:
    host, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = authority, ""
    if not port and default_port is not None:
        port = str(default_port)
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise BadMessageError("the target is no host and port")
    return host.removeprefix("[").removesuffix("]"), int(port)
