"""Many walks leave nothing behind: no memory, no descriptor, no task, whatever became of them."""

import asyncio
import gc
import resource
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.tracer.driver import Driver
from services.tracer.fetcher import Fetcher, Session
from services.tracer.model import Limits, Proxy, Result, TraceRequest
from services.tracer.walker import Settings, Walk
from tests.integration.tracer.hostile import ORIGINS
from tests.integration.tracer.rig import OPEN_GUARD, TRUST, Client, server_tls
from tests.support.origin import Origin, Request, Wire, page, redirect
from tests.support.scripted_proxy import ForwardProxy

WALKS = 10_000
AT_ONCE = 100


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("identity", ORIGINS)
async def test_memory_stays_flat(client: Client, identity: str) -> None:
    """200 walks into each hostile origin: the process that holds both sides grows by less than 50 MB."""
    hostile = ORIGINS[identity]
    async with Origin(hostile.respond) as origin:
        await hostile.meet(client, origin)
        gc.collect()
        before = resident_bytes()
        for _ in range(4):
            await asyncio.gather(*(hostile.meet(client, origin) for _ in range(50)))
        gc.collect()
        grown = resident_bytes() - before
    assert grown < 50 << 20, f"grew by {grown >> 20} MB"


@dataclass(frozen=True)
class Level:
    """What a process holds at one moment."""

    descriptors: int
    tasks: int
    resident: int


def level() -> Level:
    gc.collect()
    return Level(len(list(Path("/proc/self/fd").iterdir())), len(asyncio.all_tasks()), resident_bytes())


async def soak(batch: Callable[[Fetcher], Awaitable[None]], *servers: Origin | ForwardProxy) -> None:
    """Takes a batch of walks over and over; fails if descriptors, tasks or 10 MB stay behind.

    What the first rounds leave is not counted: caches and the memory of as many walks as are ever under way at once.
    """

    async def rounds(count: int) -> Level:
        for _ in range(count):
            await batch(fetcher)
            for server in servers:
                server.requests.clear()
        for server in servers:
            await server.until(lambda server=server: server.open == 0)  # type: ignore[misc] # bound at once
        return level()

    async with Driver() as driver:
        fetcher = Fetcher(driver, OPEN_GUARD, TRUST)
        before = await rounds(5)
        after = await rounds(WALKS // AT_ONCE)
        assert after.descriptors <= before.descriptors
        assert after.tasks <= before.tasks
        assert after.resident - before.resident < 10 << 20
        assert not driver._waiting
        assert not any(driver._wanted.values())


async def respond(request: Request, wire: Wire) -> bytes | None:
    match request.path:
        case "/redirect":
            return redirect("/hold")
        case "/page":
            return page("<p>landed")
        case "/reset":
            wire.reset()
            return None
    await wire.gone()
    return None


async def walk(fetcher: Fetcher, request: TraceRequest) -> Result:
    """Takes a walk to its end."""
    events = [event async for event in Walk(request, fetcher, OPEN_GUARD, Settings()).events()]
    assert isinstance(events[-1], Result)
    return events[-1]


async def leave_after_the_first_hop(fetcher: Fetcher, request: TraceRequest) -> None:
    """Takes a walk whose second hop hangs, and is cancelled there."""
    first_hop = asyncio.Event()

    async def take() -> None:
        async with aclosing(Walk(request, fetcher, OPEN_GUARD, Settings()).events()) as events:
            async for _ in events:
                first_hop.set()

    task = asyncio.create_task(take())
    await first_hop.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_cancelled_walks_leave_nothing_behind() -> None:
    async with Origin(respond) as origin, ForwardProxy(origin) as proxy:
        direct = TraceRequest("t", f"http://127.0.0.1:{origin.port}/redirect")
        proxied = TraceRequest("t", "http://a.test/redirect", proxy=Proxy("127.0.0.1", proxy.port))

        async def batch(fetcher: Fetcher) -> None:
            requests = [direct, direct, proxied] * AT_ONCE
            await asyncio.gather(*(leave_after_the_first_hop(fetcher, request) for request in requests[:AT_ONCE]))

        await soak(batch, origin, proxy)


async def test_failed_walks_leave_nothing_behind() -> None:
    async with (
        Origin(respond) as origin,
        Origin(respond, tls=server_tls("expired")) as untrusted,
        ForwardProxy(origin) as proxy,
    ):
        requests = [
            TraceRequest("t", f"http://127.0.0.1:{origin.port}/reset"),
            TraceRequest("t", "http://a.test/page", proxy=Proxy("127.0.0.1", 1)),
            TraceRequest("t", "http://a.test/reset", proxy=Proxy("127.0.0.1", proxy.port)),
            TraceRequest("t", f"http://127.0.0.1:{origin.port}/hold", limits=Limits(hop_timeout=0.05)),
            TraceRequest("t", f"https://127.0.0.1:{untrusted.port}/page"),
        ] * AT_ONCE

        async def batch(fetcher: Fetcher) -> None:
            results = await asyncio.gather(*(walk(fetcher, request) for request in requests[:AT_ONCE]))
            assert all(result.failure is not None for result in results)

        await soak(batch, origin, untrusted, proxy)


async def test_a_walk_leaves_no_cycles_for_the_garbage_collector() -> None:
    async with Origin(respond) as origin, Driver() as driver:
        fetcher = Fetcher(driver, OPEN_GUARD, TRUST)
        requests = [TraceRequest("t", f"http://127.0.0.1:{origin.port}/{path}") for path in ("page", "reset")]
        gc.collect()
        gc.disable()
        try:
            for request in requests * 20:
                await walk(fetcher, request)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            assert [left for left in gc.garbage if isinstance(left, (Walk, Session))] == []
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
