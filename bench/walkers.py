"""The contenders of `make bench-tracer`: each walks the same chain, and measures what that costs its process.

`python -m bench.walkers NAME PORT COUNT` runs one of them and prints its number.
"""

import asyncio
import json
import resource
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urljoin

import aiohttp
import pycurl
import uvloop
from grpc import aio

from libs.common import logs
from libs.common.pb.clicktrace.tracer.v1 import tracer_pb2 as pb
from libs.common.pb.clicktrace.tracer.v1 import tracer_pb2_grpc as pb_grpc
from libs.common.rpc.server import Server
from libs.common.settings import Address
from services.tracer.driver import Driver
from services.tracer.fetcher import Fetcher, TlsTrust
from services.tracer.guard import Guard
from services.tracer.main import tune_garbage_collection
from services.tracer.model import Limits, Proxy, Result, StopReason, TraceRequest
from services.tracer.servicer import Tracer
from services.tracer.walker import Settings, Walk

REDIRECTS = 4
AT_ONCE = 20
START = f"http://start.test/{REDIRECTS}"
USER, PASSWORD = "user", "secret"


def cpu() -> float:
    """Returns the CPU time of this process so far, in seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


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


async def engine(port: int, count: int) -> float:
    """Measures our walker and engine, without gRPC."""
    async with Driver() as driver:
        guard = Guard()
        fetcher = Fetcher(driver, guard, TlsTrust())
        request = TraceRequest("bench", START, proxy=Proxy("127.0.0.1", port, username=USER, password=PASSWORD))

        async def trace() -> None:
            await land(Walk(request, fetcher, guard, Settings()))

        await many(trace, AT_ONCE)
        tune_garbage_collection()
        began = cpu()
        await many(trace, count)
        return cpu() - began


async def aiohttp_walker(port: int, count: int) -> float:
    """Measures the plainest walker that aiohttp allows: one session per trace, so that cookies stay apart."""
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

    await many(trace, AT_ONCE)
    tune_garbage_collection()
    began = cpu()
    await many(trace, count)
    return cpu() - began


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


def bare_curl(port: int, count: int) -> float:
    """Measures the bare loop: a multi handle and `select`, no event loop, no judgement, nothing reported."""
    multi = pycurl.CurlMulti()
    began = cpu()
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
    return cpu() - began


async def slow(port: int, count: int) -> float:
    """Measures the memory of many slow walks at once: kibibytes of resident memory for each."""
    page = resource.getpagesize()

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * page

    async with Driver() as driver:
        guard = Guard()
        fetcher = Fetcher(driver, guard, TlsTrust())
        proxy = Proxy("127.0.0.1", port)
        limits = Limits(hop_timeout=60)

        async def trace(seconds: float) -> None:
            request = TraceRequest("bench", f"http://slow.test/slow/{seconds}", proxy=proxy, limits=limits)
            await land(Walk(request, fetcher, guard, Settings()))

        await asyncio.gather(*(trace(0.1) for _ in range(20)))
        before = resident()
        walks = [asyncio.create_task(trace(8)) for _ in range(count)]
        await asyncio.sleep(6)
        held = resident() - before
        await asyncio.gather(*walks)
        return held / count / 1024


async def service(port: int, count: int) -> float:
    """Measures the whole gRPC service with its log; the client that asks it is another process."""
    logs.setup("tracer", "json", "info")
    async with Driver() as driver:
        guard = Guard()
        fetcher = Fetcher(driver, guard, TlsTrust())
        tracer = Tracer(fetcher, guard, Settings(), max_traces=1000, allow_direct=False)
        async with Server(Address("127.0.0.1", 0), [tracer.service], grace=1) as server:
            tune_garbage_collection()
            # The port of the service goes with that of the chain, because a client needs both.
            await _client(server.port * 65536 + port, AT_ONCE * 5)
            began = cpu()
            await _client(server.port * 65536 + port, count)
            return cpu() - began


async def _client(ports: int, count: int) -> None:
    command = [sys.executable, "-m", "bench.walkers", "ask", str(ports), str(count)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    if await process.wait():
        raise RuntimeError("the client failed")


async def ask(ports: int, count: int) -> float:
    """Asks a service for walks, and measures the CPU time of asking."""
    served, port = divmod(ports, 65536)
    async with aio.insecure_channel(f"127.0.0.1:{served}") as channel:
        stub = pb_grpc.TracerStub(channel)
        proxy = pb.Proxy(ip_address="127.0.0.1", ip_port=port, username=USER, password=PASSWORD, provider="bench")
        request = pb.TraceRequest(trace_id="bench", url=START, proxy=proxy)

        async def trace() -> None:
            events = [event async for event in stub.Trace(request, timeout=30)]
            if events[-1].result.stop_reason != pb.Result.LANDING:
                raise RuntimeError(f"the walk did not land: {events[-1]}")

        began = cpu()
        await many(trace, count)
        return cpu() - began


async def bare(port: int, count: int) -> float:
    """Measures the bare loop, which needs no event loop and blocks this one."""
    return bare_curl(port, count)


CONTENDERS: dict[str, Callable[[int, int], Awaitable[float]]] = {
    "bare": bare,
    "engine": engine,
    "service": service,
    "aiohttp": aiohttp_walker,
    "slow": slow,
    "ask": ask,
}


def main() -> None:
    """Runs the contender that is named."""
    name, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

    async def run() -> float:
        return await CONTENDERS[name](port, count)

    print(json.dumps(uvloop.run(run())))


if __name__ == "__main__":
    main()
