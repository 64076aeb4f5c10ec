"""After a pause that outlasts the lease nothing leaves on the proxy, whatever the walk was doing when it fell asleep.

The process is stopped while all walks wait; what each of them waits for arrives meanwhile, and their leases run out. In
front of each proxy stands a tap that counts what comes from the tracer: after it wakes, not one byte may.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from clicktrace.common.v1 import common_pb2
from clicktrace.tracer.v1 import tracer_pb2 as pb
from libs.common.rpc import times
from tests.integration.tracer.process import Process, tracer
from tests.integration.tracer.rig import Walked, http_proxy, server_tls
from tests.support.origin import Origin, RawServer, Request, Wire, answer, page, redirect
from tests.support.scripted_proxy import ForwardProxy, SocksProxy, SocksScript, dial, pipe

LEASE = 2.0


class Tap(RawServer):
    """Passes everything on to a server behind it, both ways, and counts what came from the client."""

    def __init__(self, behind: RawServer) -> None:
        super().__init__()
        self._behind = behind
        self.bytes = 0

    async def serve(self, wire: Wire, connection: int) -> None:  # noqa: ARG002
        await pipe(wire, await dial(self._behind), self._count)

    def _count(self, data: bytes) -> None:
        self.bytes += len(data)


class Scene:
    """What the walks meet: origins and proxies that answer up to a point, and go on when they are told to."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.held = 0
        self.go_on = asyncio.Event()
        self.taps: list[Tap] = []
        self._changed = asyncio.Condition()

    async def hold(self) -> None:
        self.held += 1
        async with self._changed:
            self._changed.notify_all()
        await self.go_on.wait()

    async def until_held(self, count: int) -> None:
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: self.held == count)

    async def origin(self, *, secure: bool) -> Origin:
        async def respond(request: Request, _wire: Wire) -> bytes:
            match request.path:
                case "/parked":
                    return redirect("https://b.test/held")
                case "/again":
                    return redirect("/held")
                case "/held":
                    await self.hold()
                    return redirect("/next")
            return page("landed")

        return await self._stack.enter_async_context(Origin(respond, tls=server_tls() if secure else None))

    async def tap(self, proxy: RawServer, protocol: common_pb2.Protocol) -> common_pb2.Proxy:
        await self._stack.enter_async_context(proxy)
        tap = await self._stack.enter_async_context(Tap(proxy))
        self.taps.append(tap)
        return http_proxy(tap.port, protocol)

    async def holds_tunnel(self, request: Request, wire: Wire) -> bool:
        if request.method == "CONNECT":
            await self.hold()
            await wire.send(b"HTTP/1.1 200 OK\r\n\r\n")
            await wire.gone()
        return request.method == "CONNECT"

    async def refuses_tunnel(self, request: Request, wire: Wire) -> bool:
        if request.method == "CONNECT":
            await self.hold()
            await wire.send(answer(407, [("Proxy-Authenticate", "Basic realm=x")]))
            await wire.gone()
        return request.method == "CONNECT"

    async def holds_reply(self, wire: Wire) -> bool:
        await self.hold()
        await wire.send(bytes([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]))
        await wire.gone()
        return True

    async def holds_greeting(self, wire: Wire) -> bool:
        await wire.reader.readexactly(3)
        await self.hold()
        await wire.send(b"\x05\x00")
        await wire.gone()
        return True


@asynccontextmanager
async def scene() -> AsyncIterator[tuple[Scene, dict[str, tuple[str, common_pb2.Proxy]]]]:
    """Sets the scene; yields it with the walks to take: where each starts, and through which proxy."""
    async with AsyncExitStack() as stack:
        made = Scene(stack)
        plain, secure = await made.origin(secure=False), await made.origin(secure=True)
        tls = server_tls()
        forward = await made.tap(ForwardProxy(plain, secure), common_pb2.HTTP)
        forward_tls = await made.tap(ForwardProxy(plain, secure, tls=tls), common_pb2.HTTPS)
        socks = await made.tap(SocksProxy(secure), common_pb2.SOCKS5)
        late = await made.tap(ForwardProxy(plain, intercept=made.holds_tunnel), common_pb2.HTTP)
        late_tls = await made.tap(ForwardProxy(plain, intercept=made.holds_tunnel, tls=tls), common_pb2.HTTPS)
        refusing = await made.tap(ForwardProxy(plain, intercept=made.refuses_tunnel), common_pb2.HTTP)
        late_reply = await made.tap(SocksProxy(plain, SocksScript(respond=made.holds_reply)), common_pb2.SOCKS5)
        late_greeting = await made.tap(SocksProxy(plain, SocksScript(greet=made.holds_greeting)), common_pb2.SOCKS5)
        yield (
            made,
            {
                "a redirect arrives": ("http://a.test/held", forward),
                "a redirect arrives in a tunnel": ("https://a.test/held", forward),
                "a redirect arrives on a connection that is used again": ("https://a.test/again", forward),
                "another tunnel is parked": ("https://a.test/parked", forward),
                "a redirect arrives through a proxy with TLS": ("https://a.test/held", forward_tls),
                "another tunnel through a proxy with TLS is parked": ("https://a.test/parked", forward_tls),
                "a redirect arrives through SOCKS": ("https://a.test/parked", socks),
                "the tunnel opens": ("https://a.test/", late),
                "the tunnel through a proxy with TLS opens": ("https://a.test/", late_tls),
                "the tunnel is refused": ("https://a.test/", refusing),
                "SOCKS has connected": ("https://a.test/", late_reply),
                "SOCKS greets": ("https://a.test/", late_greeting),
            },
        )


async def walk(process: Process, url: str, proxy: common_pb2.Proxy) -> Walked:
    lease = times.to_duration(LEASE)
    return await process.client.walk(pb.TraceRequest(trace_id="t", url=url, proxy=proxy, lease_remaining=lease))


@pytest.mark.parametrize("callers", ["wait", "leave"])
async def test_nothing_leaves_on_a_proxy_after_the_lease_even_when_the_process_was_asleep(callers: str) -> None:
    async with tracer(TRACER_LEASE_MARGIN="0.1s", TRACER_ALLOWED_HOSTS="*") as process, scene() as (made, walks):
        taken = {name: asyncio.create_task(walk(process, *start)) for name, start in walks.items()}
        await made.until_held(len(walks))
        await process.sleep()
        before = [tap.bytes for tap in made.taps]
        made.go_on.set()
        await asyncio.sleep(LEASE)
        if callers == "leave":
            for walking in taken.values():
                walking.cancel()
        process.wake()
        ended = dict(zip(taken, await asyncio.gather(*taken.values(), return_exceptions=True), strict=True))
        for tap in made.taps:
            await tap.until(lambda tap=tap: tap.open == 0)  # type: ignore[misc] # bound at once
        assert [tap.bytes for tap in made.taps] == before
    if callers == "wait":
        stops = {name: walked.stop if isinstance(walked, Walked) else walked for name, walked in ended.items()}
        assert stops == dict.fromkeys(walks, "LEASE_EXPIRING")
