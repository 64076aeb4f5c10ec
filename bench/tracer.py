"""`make bench-tracer`: what a trace of five requests costs, ours beside others, on the same chain and proxy in one run.

Each contender runs in a process of its own and is measured by the CPU time of that process alone; the chain runs in
another. Take the numbers as ratios: the machine and what else runs on it are part of them.
"""

import asyncio
import gc
import json
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import aiohttp
import pycurl
import uvloop
from yarl import URL

from services.tracer.driver import Driver
from services.tracer.fetcher import Fetcher, TlsTrust
from services.tracer.guard import Guard
from services.tracer.model import Limits, Proxy, Result, StopReason, TraceRequest
from services.tracer.walker import Settings, Walk

REDIRECTS = 4
TRACES = 2_000
ROUNDS = 5
AT_ONCE = 20
START = f"http://start.test/{REDIRECTS}"


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


async def engine(port: int, count: int) -> float:
    """Measures our walker and engine, without gRPC."""
    async with Driver() as driver:
        fetcher = Fetcher(driver, Guard(), TlsTrust())
        request = TraceRequest("bench", START, proxy=Proxy("127.0.0.1", port, username="user", password="secret"))

        async def trace() -> None:
            async with aclosing(Walk(request, fetcher, Guard(), Settings()).events()) as events:
                reported = [event async for event in events]
            result = reported[-1]
            if not isinstance(result, Result) or result.stop_reason is not StopReason.LANDING:
                raise RuntimeError(f"the walk did not land: {result}")

        await many(trace, AT_ONCE)
        gc.freeze()
        began = cpu()
        await many(trace, count)
        return cpu() - began


async def aiohttp_walker(port: int, count: int) -> float:
    """Measures the plainest walker that aiohttp allows: one session per trace, so that cookies stay apart."""
    proxy = URL(f"http://127.0.0.1:{port}")
    credentials = aiohttp.BasicAuth("user", "secret")

    async def trace() -> None:
        async with aiohttp.ClientSession(trust_env=False) as session:
            url = START
            for _ in range(REDIRECTS + 1):
                async with session.get(url, proxy=proxy, proxy_auth=credentials, allow_redirects=False) as response:
                    body = await response.read()
                    if response.status != 302:
                        break
                    url = urljoin(url, response.headers["Location"])
            if b"Landing" not in body:
                raise RuntimeError("the walk did not land")

    await many(trace, AT_ONCE)
    gc.freeze()
    began = cpu()
    await many(trace, count)
    return cpu() - began


def bare_curl(port: int, count: int) -> float:
    """Measures libcurl alone: a multi handle in a select loop that follows redirects itself and reports nothing."""
    multi = pycurl.CurlMulti()
    left = count
    running = 0

    def add(curl: pycurl.Curl) -> None:
        nonlocal left, running
        left -= 1
        running += 1
        curl.reset()
        curl.setopt(pycurl.URL, START)
        curl.setopt(pycurl.PROXY, f"http://127.0.0.1:{port}")
        curl.setopt(pycurl.PROXYUSERPWD, "user:secret")
        curl.setopt(pycurl.FOLLOWLOCATION, 1)
        # Every trace has a connection of its own, as isolation demands; its redirects may use it again.
        curl.setopt(pycurl.FRESH_CONNECT, 1)
        curl.setopt(pycurl.COOKIEFILE, "")
        curl.setopt(pycurl.WRITEFUNCTION, len)
        multi.add_handle(curl)

    began = cpu()
    for _ in range(AT_ONCE):
        add(pycurl.Curl())
    while running:
        multi.perform()
        _, done, failed = multi.info_read()
        if failed:
            raise RuntimeError(f"a transfer failed: {failed}")
        for curl in done:
            multi.remove_handle(curl)
            running -= 1
            if left > 0:
                add(curl)
        if not done:
            multi.select(1.0)
    return cpu() - began


async def slow(port: int, count: int) -> float:
    """Measures the memory of many slow walks at once: kibibytes of resident memory for each."""
    page = resource.getpagesize()

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * page

    async with Driver() as driver:
        fetcher = Fetcher(driver, Guard(), TlsTrust())
        proxy = Proxy("127.0.0.1", port)
        limits = Limits(hop_timeout=60)

        async def trace(seconds: float) -> None:
            request = TraceRequest("bench", f"http://slow.test/slow/{seconds}", proxy=proxy, limits=limits)
            events = [event async for event in Walk(request, fetcher, Guard(), Settings()).events()]
            result = events[-1]
            if not isinstance(result, Result) or result.stop_reason is not StopReason.LANDING:
                raise RuntimeError(f"the walk did not land: {result}")

        await asyncio.gather(*(trace(0.1) for _ in range(20)))
        before = resident()
        walks = [asyncio.create_task(trace(8)) for _ in range(count)]
        await asyncio.sleep(6)
        held = resident() - before
        await asyncio.gather(*walks)
        return held / count / 1024


CONTENDERS: dict[str, Callable[[int, int], Awaitable[float]]] = {
    "engine": engine,
    "aiohttp": aiohttp_walker,
    "slow": slow,
}


@dataclass(frozen=True)
class Row:
    """One line of the report."""

    name: str
    milliseconds: float
    note: str = ""


def contender(name: str, port: int, count: int) -> float:
    """Runs one contender in a process of its own and returns what it measured."""
    command = [sys.executable, "-m", "bench.tracer", name, str(port), str(count)]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def main() -> None:
    """Runs the contender that is named, or all of them and prints the report."""
    if len(sys.argv) > 1:
        name, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
        if name == "bare":
            measured = bare_curl(port, count)
        else:

            async def run() -> float:
                return await CONTENDERS[name](port, count)

            measured = uvloop.run(run())
        print(json.dumps(measured))
        return
    chain = subprocess.Popen([sys.executable, "-m", "bench.chain"], stdout=subprocess.PIPE, text=True)
    assert chain.stdout is not None
    try:
        port = int(chain.stdout.readline())
        rounds: dict[str, list[float]] = {name: [] for name in ("bare", "engine", "aiohttp")}
        for _ in range(ROUNDS):
            for name, measured in rounds.items():
                measured.append(contender(name, port, TRACES) / TRACES * 1000)
        for name, measured in rounds.items():
            print(f"{name:10} {statistics.median(measured):.3f} ms  {measured}")
        for count in (2000, 5000):
            print(count, contender("slow", port, count), "KiB")
    finally:
        chain.terminate()
        chain.wait()


if __name__ == "__main__":
    main()
