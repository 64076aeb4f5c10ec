"""The contenders of `make bench-tracer`: each walks the same chain, and measures what that costs its process.

`python -m bench.peers.walkers NAME PORT COUNT BATCHES` runs one of them and prints its number: CPU seconds of the best
of BATCHES batches of COUNT traces, because whatever else runs on a machine can only add; or bytes of memory.
"""

import asyncio
import json
import resource
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urljoin

import aiohttp
import pycurl
import uvloop

from libs.common.process import logs
from libs.common.process.lifecycle import tune_garbage_collection
from libs.common.process.values import Address
from libs.common.rpc.server import Server
from libs.common.target_policy.policy import TargetPolicy
from services.tracer.fetch.driver import Driver
from services.tracer.fetch.options import TlsTrust
from services.tracer.fetch.session import Fetcher
from services.tracer.follow.walk import Settings, Walk
from services.tracer.model.report import Result, StopReason
from services.tracer.model.request import Proxy, TraceRequest
from services.tracer.rpc.servicer import Tracer

REDIRECTS = 4
AT_ONCE = 20
START = f"http://start.example.com/{REDIRECTS}"
USER, PASSWORD = "user", "secret"


def cpu() -> float:
    """Returns the CPU time of this process so far, in seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def best_of(batch: Callable[[], Awaitable[None]], batches: int) -> float:
    """Takes batches, after one to warm up, and returns the CPU seconds of the cheapest one."""
    await batch()
    tune_garbage_collection()
    costs = []
    for _ in range(batches):
        began = cpu()
        await batch()
        costs.append(cpu() - began)
    return min(costs)


async def many(trace: Callable[[], Awaitable[None]], count: int) -> None:
    """Takes traces, a number of them at once."""
    remaining = iter(range(count))

    async def worker() -> None:
        for _ in remaining:
            await trace()

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))


async def land(walk: Walk) -> None:
    """Takes a walk to its landing page; RuntimeError if it ends elsewhere."""
    events = [event async for event in walk.events()]
    result = events[-1]
    if not isinstance(result, Result) or result.stop_reason is not StopReason.LANDING:
        raise RuntimeError(f"the walk did not land: {result}")


async def engine(port: int, count: int, batches: int) -> float:
    """Returns the CPU seconds of our walker and engine, without gRPC."""
    async with Driver() as driver:
        targets = TargetPolicy()
        fetcher = Fetcher(driver, targets, TlsTrust())
        request = TraceRequest("bench", START, proxy=Proxy("127.0.0.1", port, username=USER, password=PASSWORD))

        async def trace() -> None:
            await land(Walk(request, fetcher, targets, Settings()))

        return await best_of(lambda: many(trace, count), batches)


async def aiohttp_walker(port: int, count: int, batches: int) -> float:
    """Measures the plainest walker that aiohttp allows: one session per trace, so that cookies stay apart.

    Returns the CPU seconds of the best batch, as every contender does.
    """
    proxy = f"http://127.0.0.1:{port}"
    headers = {"Proxy-Authorization": aiohttp.encode_basic_auth(USER, PASSWORD)}

    async def trace() -> None:
        async with aiohttp.ClientSession(trust_env=False) as session:
            url = START
            for _ in range(REDIRECTS + 1):
                async with session.get(url, proxy=proxy, proxy_headers=headers, allow_redirects=False) as response:
                    body = await response.read()
                    if response.status != 302:
                        break
                    url = urljoin(url, response.headers["Location"])
            if b"Landing" not in body:
                raise RuntimeError("the walk did not land")

    return await best_of(lambda: many(trace, count), batches)


class BareTrace:
    """The least a trace can be with libcurl: a handle of its own, and its Location followed by hand."""

    def __init__(self, multi: pycurl.CurlMulti, port: int, *, host: str = "127.0.0.1", start: str = START) -> None:
        """Begins the trace."""
        self._multi = multi
        self._start = start
        self._location = ""
        self.curl = pycurl.Curl()
        self.curl.setopt(pycurl.PROXY, f"http://{host}:{port}")
        self.curl.setopt(pycurl.PROXYUSERPWD, f"{USER}:{PASSWORD}")
        self.curl.setopt(pycurl.COOKIEFILE, "")
        self.curl.setopt(pycurl.WRITEFUNCTION, len)
        self.curl.setopt(pycurl.HEADERFUNCTION, self._header)
        # Every trace has a connection of its own, as isolation demands; its later hops may use it again.
        self.curl.setopt(pycurl.FRESH_CONNECT, 1)
        self._request(start)

    def next(self) -> bool:
        """Takes the next hop; returns whether there is one."""
        self._multi.remove_handle(self.curl)
        if not self._location:
            self.curl.close()
            return False
        self.curl.setopt(pycurl.FRESH_CONNECT, 0)
        self._request(urljoin(self._start, self._location))
        return True

    def _request(self, url: str) -> None:
        self._location = ""
        self.curl.setopt(pycurl.URL, url)
        self._multi.add_handle(self.curl)

    def _header(self, line: bytes) -> None:
        if line[:9].lower() == b"location:":
            self._location = line[9:].strip().decode()


def bare_curl(port: int, count: int) -> None:
    """Takes traces in the bare loop: a multi handle and `select`, no event loop, no judgement, nothing reported."""
    multi = pycurl.CurlMulti()
    traces = {trace.curl: trace for trace in (BareTrace(multi, port) for _ in range(AT_ONCE))}
    left = count - AT_ONCE
    while traces:
        multi.perform()
        _, done, failed = multi.info_read()
        if failed:
            raise RuntimeError(f"a transfer failed: {failed}")
        for curl in done:
            if traces[curl].next():
                continue
            del traces[curl]
            if left:
                left -= 1
                trace = BareTrace(multi, port)
                traces[trace.curl] = trace
        if not done:
            multi.select(1.0)


async def minet(port: int, count: int, batches: int) -> float:
    """Returns the CPU seconds of minet's resolver, a thread for each trace, with what it can follow that we follow."""
    # Imported here, because only `make bench-tracer` has it.
    from minet.web import create_pool, resolve

    pool = create_pool(proxy=f"http://127.0.0.1:{port}", threads=AT_ONCE)

    def trace(_number: int) -> None:
        chain = resolve(START, pool=pool, max_redirects=20, follow_meta_refresh=True, follow_js_relocation=True)
        if len(chain) != REDIRECTS + 1:
            raise RuntimeError("the walk did not land")

    with ThreadPoolExecutor(AT_ONCE) as threads:

        async def batch() -> None:
            list(threads.map(trace, range(count)))

        return await best_of(batch, batches)


def resident() -> int:
    """Returns the bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@asynccontextmanager
async def serving(max_traces: int) -> AsyncIterator[int]:
    """Runs our gRPC service, log and metrics included, and yields its port."""
    logs.setup("tracer", "json", "info")
    async with Driver() as driver:
        targets = TargetPolicy()
        fetcher = Fetcher(driver, targets, TlsTrust())
        tracer = Tracer(fetcher, targets, Settings(), max_traces=max_traces, allow_direct=False)
        async with Server(Address("127.0.0.1", 0), [tracer.service], grace=1) as server:
            yield server.port


@asynccontextmanager
async def asking(served: int, port: int, count: int) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """Runs a client of the service in a process of its own; yields how to give it an order and get its answer."""
    command = [sys.executable, "-W", "ignore", "-m", "bench.load.asker", str(served), str(port), str(count)]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    wishes, answers = process.stdin, process.stdout

    async def order(word: str) -> str:
        wishes.write(f"{word}\n".encode())
        told = (await answers.readline()).decode().strip()
        if not told:
            raise RuntimeError("the client failed")
        return told

    try:
        yield order
    finally:
        wishes.close()
        await process.wait()


async def service(port: int, count: int, batches: int) -> float:
    """Returns the CPU seconds of the whole gRPC service with its log; its client is another process."""
    async with serving(1000) as served, asking(served, port, count) as order:

        async def batch() -> None:
            await order("batch")

        return await best_of(batch, batches)


async def alone(port: int, count: int, _batches: int) -> float:
    """Measures the wall time of one trace by the service with nothing beside it: seconds, the best of many."""
    async with serving(1000) as served, asking(served, port, count) as order:
        await order("warm")
        return min([float(await order("one")) for _ in range(count)])


async def slow(port: int, count: int, _batches: int) -> float:
    """Measures the memory of the whole service while many slow traces are under way: bytes for each."""
    async with serving(count) as served, asking(served, port, count) as order:
        await order("warm")
        before = resident()
        # Says so when the last of them has been asked for at the proxy.
        await order("hold")
        held = resident() - before
        await order("finish")
        return held / count


async def bare(port: int, count: int, batches: int) -> float:
    """Returns the CPU seconds of the bare loop, which needs no event loop and blocks this one."""

    async def batch() -> None:
        bare_curl(port, count)

    return await best_of(batch, batches)


CONTENDERS: dict[str, Callable[[int, int, int], Awaitable[float]]] = {
    "bare": bare,
    "engine": engine,
    "service": service,
    "minet": minet,
    "aiohttp": aiohttp_walker,
    "alone": alone,
    "slow": slow,
}


def main() -> None:
    """Runs the contender that is named."""
    name, (port, count, batches) = sys.argv[1], map(int, sys.argv[2:])

    async def run() -> float:
        return await CONTENDERS[name](port, count, batches)

    print(json.dumps(uvloop.run(run())))


if __name__ == "__main__":
    main()
