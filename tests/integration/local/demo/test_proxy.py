"""Proves that the demo proxy is a real one: credentials, its own exit address, exact bytes, and nothing leaks."""

import asyncio
import base64
import contextlib
import hashlib
import os
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web

from local.demo.proxy import Credentials, Listener, http_proxy
from local.demo.socks import socks_proxy

SOURCE = "127.77.9.9"
CREDENTIALS = Credentials("demo", "pass:word")
BASIC = "Basic " + base64.b64encode(b"demo:pass:word").decode()
Serve = Callable[[StreamReader, StreamWriter], Awaitable[None]]


@dataclass
class World:
    """A proxy, an origin behind it that reports what it sees, and what it saw."""

    proxy: Listener
    origin_port: int
    seen: list[web.BaseRequest]

    @property
    def proxy_url(self) -> str:
        return f"http://{self.proxy.host}:{self.proxy.port}"

    def url(self, path: str = "/") -> str:
        # A name that only the proxy's own resolver knows.
        return f"http://shop.demo.localhost:{self.origin_port}{path}"


async def resolve(host: str, port: int) -> tuple[str, int]:
    if host.endswith(".localhost") or host == "127.0.0.1":
        return "127.0.0.1", port
    raise OSError(f"no such name: {host}")


@asynccontextmanager
async def raw_origin(serve: Serve) -> AsyncIterator[int]:
    async with Listener("127.0.0.1", 0, serve) as listener:
        yield listener.port


@pytest.fixture
async def world() -> AsyncIterator[World]:
    seen: list[web.BaseRequest] = []

    async def report(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        seen.append(request)
        return web.json_response(
            {
                "peer": request.remote,
                "target": request.raw_path,
                "method": request.method,
                "headers": [[name, value] for name, value in request.headers.items()],
                "sha256": hashlib.sha256(body).hexdigest(),
            }
        )

    async with AsyncExitStack() as stack:
        runner = web.ServerRunner(web.Server(report), shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site.port or 0
        proxy = await stack.enter_async_context(
            http_proxy("127.0.0.1", 0, source=SOURCE, credentials=CREDENTIALS, resolver=resolve)
        )
        yield World(proxy, port, seen)


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"Proxy-Authorization": BASIC}) as session:
        yield session


class Raw:
    """A client that says exactly what it is told to."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, text: str | bytes) -> None:
        self.writer.write(text if isinstance(text, bytes) else text.encode())
        await self.writer.drain()

    async def head(self) -> str:
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def response(self) -> tuple[str, bytes]:
        head = await self.head()
        length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("Content-Length"))
        return head, await self.reader.readexactly(length)

    async def rest(self) -> bytes:
        """Reads to the end; a reset is an end too."""
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while data := await self.reader.read(65536):
                received += data
        return received


@asynccontextmanager
async def raw_client(proxy: Listener) -> AsyncIterator[Raw]:
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        try:
            yield Raw(reader, writer)
        finally:
            writer.close()


def plain(url: str, *lines: str, method: str = "GET", version: str = "HTTP/1.1") -> str:
    return "\r\n".join([f"{method} {url} {version}", "Host: x", f"Proxy-Authorization: {BASIC}", *lines, "", ""])


async def test_a_plain_request_arrives_whole_and_from_the_proxys_own_address(
    world: World, client: aiohttp.ClientSession
) -> None:
    async with client.get(world.url("/a%20b?x=1+2&x=%20&y"), proxy=world.proxy_url) as response:
        answer = await response.json()
    assert response.status == 200
    assert answer["peer"] == SOURCE
    assert answer["target"].startswith("/a%20b?x=1+2&x=%20&y")


async def test_nothing_of_the_proxy_reaches_the_origin(world: World) -> None:
    async with raw_client(world.proxy) as raw:
        await raw.send(
            plain(
                world.url("/p?q=1"),
                "Proxy-Connection: keep-alive",
                "Connection: X-Private",
                "X-Private: 1",
                "TE: trailers",
                "Keep-Alive: timeout=5",
                "X-Kept: a",
                "X-Kept: b",
            )
        )
        await raw.response()
    names = [name for name, _ in world.seen[0].headers.items()]
    assert sorted(names) == ["Connection", "Host", "X-Kept", "X-Kept"]
    assert world.seen[0].headers["Host"] == f"shop.demo.localhost:{world.origin_port}"
    assert world.seen[0].raw_path == "/p?q=1"


@pytest.mark.parametrize(
    "line",
    [
        "X-No: credentials",
        "Proxy-Authorization: Basic " + base64.b64encode(b"demo:wrong").decode(),
        "Proxy-Authorization: Basic " + base64.b64encode(b"other:pass:word").decode(),
        "Proxy-Authorization: Basic !!!",
        "Proxy-Authorization: Bearer " + BASIC.split()[1],
    ],
)
@pytest.mark.parametrize("target", ["GET http://shop.demo.localhost/", "CONNECT shop.demo.localhost:80"])
async def test_without_the_right_credentials_nothing_passes(world: World, target: str, line: str) -> None:
    async with raw_client(world.proxy) as raw:
        await raw.send(f"{target} HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n")
        head, _ = await raw.response()
        assert head.startswith("HTTP/1.1 407 ")
        assert "Proxy-Authenticate: Basic " in head
        # The connection stays, so that a client can try again on it.
        await raw.send(plain(world.url()))
        head, _ = await raw.response()
        assert head.startswith("HTTP/1.1 200 ")
    assert len(world.seen) == 1


async def test_a_tunnel_carries_bytes_both_ways_and_half_closes(world: World) -> None:
    async def echo_after_eof(reader: StreamReader, writer: StreamWriter) -> None:
        peer = writer.get_extra_info("peername")[0]
        received = await reader.read()  # answers only when the client has finished speaking
        writer.write(f"{peer} ".encode() + received)
        await writer.drain()

    async with raw_origin(echo_after_eof) as port, raw_client(world.proxy) as raw:
        await raw.send(plain(f"any.localhost:{port}", method="CONNECT"))
        assert (await raw.head()).startswith("HTTP/1.1 200 ")
        await raw.send(b"\x00\xffhello")
        raw.writer.write_eof()
        assert await raw.rest() == SOURCE.encode() + b" \x00\xffhello"


async def test_plain_requests_follow_one_another_on_one_connection(world: World) -> None:
    async with raw_client(world.proxy) as raw:
        for index in range(3):
            await raw.send(plain(world.url(f"/{index}"), "Content-Length: 3", method="POST") + "abc")
            head, _ = await raw.response()
            assert head.startswith("HTTP/1.1 200 ")
            assert "Connection: keep-alive" in head
        await raw.send(plain(world.url("/close"), "Connection: close"))
        head, _ = await raw.response()
        assert "Connection: close" in head
        assert await raw.rest() == b""
    assert [request.raw_path for request in world.seen] == ["/0", "/1", "/2", "/close"]


async def test_big_bodies_pass_unharmed_in_every_framing(world: World, client: aiohttp.ClientSession) -> None:
    payload = os.urandom(900_000)

    async def in_chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(payload), 70_001):
            yield payload[start : start + 70_001]

    bodies: tuple[bytes | AsyncIterator[bytes], ...] = (payload, in_chunks())
    for body in bodies:
        async with client.post(world.url(), data=body, proxy=world.proxy_url) as response:
            assert (await response.json())["sha256"] == hashlib.sha256(payload).hexdigest()


@pytest.mark.parametrize(
    ("head", "keeps"),
    [
        ("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n", True),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", True),
        ("HTTP/1.0 200 OK\r\n\r\n", False),
    ],
)
async def test_answers_pass_in_every_framing(
    world: World, client: aiohttp.ClientSession, head: str, keeps: bool
) -> None:
    payload = os.urandom(600_000)

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head.format(length=len(payload)).encode())
        if "chunked" in head:
            for start in range(0, len(payload), 50_000):
                piece = payload[start : start + 50_000]
                writer.write(f"{len(piece):x};ext=1\r\n".encode() + piece + b"\r\n")
            writer.write(b"0\r\nX-Trailer: t\r\n\r\n")
        else:
            writer.write(payload)
        await writer.drain()

    async with raw_origin(serve) as port:
        async with client.get(f"http://a.localhost:{port}/", proxy=world.proxy_url) as response:
            assert await response.read() == payload
        assert response.headers["Connection"] == ("keep-alive" if keeps else "close")


async def test_a_receiver_that_does_not_read_stops_the_sender(world: World) -> None:
    written = 0
    stuck = asyncio.Event()

    async def pour(reader: StreamReader, writer: StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while written < 200_000_000:
            writer.write(bytes(1_000_000))
            try:
                async with asyncio.timeout(1):
                    await writer.drain()
            except TimeoutError:
                stuck.set()
                return
            written += 1_000_000

    async with raw_origin(pour) as port, raw_client(world.proxy) as raw:
        await raw.send(plain(f"http://a.localhost:{port}/"))
        await raw.head()
        raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await stuck.wait()
    assert written < 50_000_000


async def test_an_answer_before_the_end_of_the_request_gets_through(world: World) -> None:
    async def refuse(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()
        await reader.read()

    async with raw_origin(refuse) as port, raw_client(world.proxy) as raw:
        await raw.send(plain(f"http://a.localhost:{port}/", "Content-Length: 1000000", method="POST"))
        head, body = await raw.response()
        assert head.startswith("HTTP/1.1 413 ")
        assert body == b"no"
        assert await raw.rest() == b""


async def test_interim_and_bodiless_answers(world: World) -> None:
    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"HEAD"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n")
        await writer.drain()

    async with raw_origin(serve) as port, raw_client(world.proxy) as raw:
        await raw.send(plain(f"http://a.localhost:{port}/", method="HEAD"))
        assert "Content-Length: 1234" in await raw.head()
        await raw.send(plain(f"http://a.localhost:{port}/"))
        assert (await raw.head()).startswith("HTTP/1.1 100 ")
        assert (await raw.head()).startswith("HTTP/1.1 304 ")
        await raw.send(plain(f"http://a.localhost:{port}/", method="HEAD"))
        assert (await raw.head()).startswith("HTTP/1.1 200 ")


async def test_what_cannot_be_reached_is_a_502_of_the_proxy(world: World, client: aiohttp.ClientSession) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed_soon:
        free_port = closed_soon.getsockname()[1]
    for host in (f"127.0.0.1:{free_port}", "no.such.example"):
        async with client.get(f"http://{host}/", proxy=world.proxy_url) as response:
            assert response.status == 502
            assert "pass:word" not in await response.text()
        async with raw_client(world.proxy) as raw:
            target = host if ":" in host else f"{host}:443"
            await raw.send(f"CONNECT {target} HTTP/1.1\r\nProxy-Authorization: {BASIC}\r\n\r\n")
            assert (await raw.head()).startswith("HTTP/1.1 502 ")


async def test_a_target_that_breaks_off_breaks_the_clients_connection(world: World) -> None:
    async def hang_up(reader: StreamReader, _: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async def stop_short(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await writer.drain()

    for serve, expected in ((hang_up, b""), (stop_short, b"half")):
        async with raw_origin(serve) as port, raw_client(world.proxy) as raw:
            await raw.send(plain(f"http://a.localhost:{port}/"))
            assert (await raw.rest()).endswith(expected)


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("nonsense\r\n\r\n", 400),
        (plain("/origin-form"), 400),
        (plain("https://shop.demo.localhost/"), 400),
        (plain("http://shop.demo.localhost:99999/"), 400),
        (plain("http:///nohost"), 400),
        (plain("shop.demo.localhost", method="CONNECT"), 400),
        (plain("http://a.localhost/", version="HTTP/2.0"), 400),
        (plain("http://a.localhost/", "no colon"), 400),
        (plain("http://a.localhost/", "Folded: a", " b"), 400),
        (plain("http://a.localhost/", "Content-Length: 3", "Content-Length: 4"), 400),
        (plain("http://a.localhost/", "Content-Length: -3"), 400),
        (plain("http://a.localhost/", "Content-Length: 3", "Transfer-Encoding: chunked"), 400),
        (plain("http://a.localhost/", "Transfer-Encoding: gzip"), 400),
        (plain("http://a.localhost/", "X: " + "a" * 70_000), 431),
    ],
)
async def test_bad_requests_are_refused_and_the_connection_ends(world: World, request_text: str, status: int) -> None:
    if "Proxy-Authorization" not in request_text:
        request_text = request_text.replace("\r\n\r\n", f"\r\nProxy-Authorization: {BASIC}\r\n\r\n", 1)
    async with raw_client(world.proxy) as raw:
        await raw.send(request_text)
        assert (await raw.head()).startswith(f"HTTP/1.1 {status} ")
        await raw.rest()
    assert not world.seen


async def test_closing_the_proxy_ends_its_connections() -> None:
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(
            http_proxy("127.0.0.1", 0, source=SOURCE, credentials=CREDENTIALS, resolver=resolve)
        )
        raw = await stack.enter_async_context(raw_client(proxy))
        await raw.send(plain("http://nowhere/"))
        await raw.response()
        await raw.send("GET ")
        await proxy.__aexit__(None, None, None)
        assert await raw.rest() == b""


class TestSocks:
    """The other protocol, by the bytes of RFC 1928 and RFC 1929."""

    @pytest.fixture
    async def proxy(self) -> AsyncIterator[Listener]:
        async with socks_proxy("127.0.0.1", 0, source=SOURCE, credentials=CREDENTIALS, resolver=resolve) as listener:
            yield listener

    async def sign_in(self, raw: Raw, password: bytes = b"pass:word") -> bytes:
        await raw.send(b"\x05\x02\x00\x02")
        assert await raw.reader.readexactly(2) == b"\x05\x02"
        await raw.send(b"\x01\x04demo" + bytes([len(password)]) + password)
        return await raw.reader.readexactly(2)

    async def test_a_name_is_resolved_by_the_proxy_and_left_from_its_address(
        self, world: World, proxy: Listener
    ) -> None:
        host = b"shop.demo.localhost"
        async with raw_client(proxy) as raw:
            assert await self.sign_in(raw) == b"\x01\x00"
            await raw.send(b"\x05\x01\x00\x03" + bytes([len(host)]) + host + world.origin_port.to_bytes(2, "big"))
            assert (await raw.reader.readexactly(10))[:2] == b"\x05\x00"
            await raw.send("GET /s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert f'"peer": "{SOURCE}"'.encode() in await raw.rest()

    async def test_an_address_is_dialled(self, world: World, proxy: Listener) -> None:
        async with raw_client(proxy) as raw:
            await self.sign_in(raw)
            await raw.send(b"\x05\x01\x00\x01\x7f\x00\x00\x01" + world.origin_port.to_bytes(2, "big"))
            assert (await raw.reader.readexactly(10))[:2] == b"\x05\x00"

    async def test_wrong_credentials_end_it(self, proxy: Listener) -> None:
        async with raw_client(proxy) as raw:
            assert await self.sign_in(raw, b"wrong") == b"\x01\x01"
            assert await raw.rest() == b""

    async def test_no_credentials_end_it(self, proxy: Listener) -> None:
        async with raw_client(proxy) as raw:
            await raw.send(b"\x05\x01\x00")
            assert await raw.rest() == b"\x05\xff"

    @pytest.mark.parametrize(
        ("request_bytes", "code"),
        [
            (b"\x05\x01\x00\x03\x04none\x00\x50", 4),  # a name that does not resolve
            (b"\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", 7),  # BIND
            (b"\x05\x01\x00\x09", 8),  # no such kind of address
        ],
    )
    async def test_what_it_cannot_do_has_its_code(self, proxy: Listener, request_bytes: bytes, code: int) -> None:
        async with raw_client(proxy) as raw:
            await self.sign_in(raw)
            await raw.send(request_bytes)
            assert (await raw.rest())[:2] == bytes([5, code])
