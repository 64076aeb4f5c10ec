"""Many walks leave nothing behind: no memory, no descriptor, no task, whatever became of them."""

import asyncio
import gc
import resource
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from clicktrace.tracer.v1 import tracer_pb2 as pb
from services.tracer.fetch.driver import Driver
from services.tracer.fetch.session import Fetcher, Session
from services.tracer.follow.walk import Settings, Walk
from services.tracer.model.report import Result
from services.tracer.model.request import Limits, Proxy, TraceRequest
from tests.integration.tracer import outside
from tests.integration.tracer.hostile import ORIGINS
from tests.integration.tracer.rig import OPEN_POLICY, TRUST, Client, http_proxy, server_tls
from tests.support.origin import Origin, Request, Wire, page, redirect
from tests.support.scripted_proxy import ForwardProxy, Intercept

AT_ONCE = 100
MOST_GROWTH = 50 << 20
WALKS = pytest.mark.parametrize(
    "walks", [1_000, pytest.param(10_000, marks=[pytest.mark.chaos, pytest.mark.timeout(600)])]
)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


TIMES = pytest.mark.parametrize("times", [20, pytest.param(200, marks=[pytest.mark.chaos, pytest.mark.timeout(600)])])


async def grown_by(times: int, meet: Callable[[], Awaitable[object]]) -> int:
    """Returns by how many bytes the process, which holds both sides, grows over so many meetings after a first one."""
    await meet()
    gc.collect()
    before = resident_bytes()
    for _ in range(times // 20):
        await asyncio.gather(*(meet() for _ in range(20)))
    gc.collect()
    return resident_bytes() - before


@TIMES
@pytest.mark.parametrize("identity", ORIGINS)
async def test_memory_stays_flat_under_every_hostile_origin(client: Client, identity: str, times: int) -> None:
    hostile = ORIGINS[identity]
    async with Origin(hostile.respond) as origin:
        assert await grown_by(times, lambda: hostile.meet(client, origin)) < MOST_GROWTH


@pytest.mark.chaos
@pytest.mark.timeout(600)
@outside.needed
async def test_memory_stays_flat_under_every_location(client: Client) -> None:
    rows = [row["input"] for row in outside.rows("bad_inputs") if row["surface"] == "tracer.location"]

    async def respond(request: Request, _wire: Wire) -> bytes:
        number = request.path.rpartition("/")[2]
        return redirect(rows[int(number)].encode()) if number.isdigit() else page("landed")

    async with (
        Origin(respond) as plain,
        Origin(respond, tls=server_tls()) as secure,
        ForwardProxy(plain, secure) as proxy,
    ):
        proxied, insecure = http_proxy(proxy.port), pb.Policy(allow_insecure_tls=True)

        async def meet() -> None:
            for number in range(len(rows)):
                await client.trace(f"http://a.test/{number}", proxied, policy=insecure, max_hops=3)

        assert await grown_by(200, meet) < MOST_GROWTH


async def _connect_without_end(_request: Request, wire: Wire) -> bool:
    await wire.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await wire.send(b"X-More: " + b"v" * 1000 + b"\r\n")


async def _connect_refused(_request: Request, wire: Wire) -> bool:
    await wire.send(b"HTTP/1.1 407 No\r\nContent-Length: 100000000\r\n\r\n" + bytes(65536))
    return True


@TIMES
@pytest.mark.parametrize(
    "intercept",
    # libcurl reads an answer to CONNECT byte by byte, so the first takes its time to come to the bound.
    [pytest.param(_connect_without_end, marks=[pytest.mark.chaos, pytest.mark.timeout(600)]), _connect_refused],
)
async def test_memory_stays_flat_behind_every_hostile_proxy(client: Client, intercept: Intercept, times: int) -> None:
    async with Origin(respond) as origin, ForwardProxy(origin, intercept=intercept) as proxy:
        proxied = http_proxy(proxy.port)
        assert await grown_by(times, lambda: client.trace("https://a.test/", proxied)) < MOST_GROWTH


def holds_no_more_than(descriptors: int, tasks: int) -> bool:
    return open_descriptors() <= descriptors and len(asyncio.all_tasks()) <= tasks


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def soak(walks: int, batch: Callable[[Fetcher], Awaitable[None]], *servers: Origin | ForwardProxy) -> None:
    """Takes a batch of walks over and over; fails if a descriptor, a task or 10 MB stays behind.

    What the first rounds leave of memory is not counted: caches, and what as many walks as are ever under way at once
    need.
    """

    async def rounds(count: int) -> int:
        for _ in range(count):
            await batch(fetcher)
            for server in servers:
                server.requests.clear()
        gc.collect()
        return resident_bytes()

    async with Driver() as driver:
        fetcher = Fetcher(driver, OPEN_POLICY, TRUST)
        at_first = open_descriptors(), len(asyncio.all_tasks())
        before = await rounds(5)
        after = await rounds(walks // AT_ONCE)
        assert after - before < 10 << 20
        assert not driver._waiting
        assert not any(driver._wanted.values())
        # The servers of the test, which share this process, close their ends in their own time.
        async with asyncio.timeout(60):
            while not holds_no_more_than(*at_first):
                await asyncio.sleep(0.01)


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
    events = [event async for event in Walk(request, fetcher, OPEN_POLICY, Settings()).events()]
    assert isinstance(events[-1], Result)
    return events[-1]


async def leave_after_the_first_hop(fetcher: Fetcher, request: TraceRequest) -> None:
    """Takes a walk whose second hop hangs, and is cancelled there."""
    first_hop = asyncio.Event()

    async def take() -> None:
        async with aclosing(Walk(request, fetcher, OPEN_POLICY, Settings()).events()) as events:
            async for _ in events:
                first_hop.set()

    task = asyncio.create_task(take())
    await first_hop.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


@WALKS
async def test_cancelled_walks_leave_nothing_behind(walks: int) -> None:
    async with Origin(respond) as origin, ForwardProxy(origin) as proxy:
        direct = TraceRequest("t", f"http://127.0.0.1:{origin.port}/redirect")
        proxied = TraceRequest("t", "http://a.test/redirect", proxy=Proxy("127.0.0.1", proxy.port))

        async def batch(fetcher: Fetcher) -> None:
            requests = [direct, direct, proxied] * AT_ONCE
            await asyncio.gather(*(leave_after_the_first_hop(fetcher, request) for request in requests[:AT_ONCE]))

        await soak(walks, batch, origin, proxy)


@WALKS
async def test_failed_walks_leave_nothing_behind(walks: int) -> None:
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

        await soak(walks, batch, origin, untrusted, proxy)


async def test_a_walk_leaves_no_cycles_for_the_garbage_collector() -> None:
    async with Origin(respond) as origin, Driver() as driver:
        fetcher = Fetcher(driver, OPEN_POLICY, TRUST)
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
