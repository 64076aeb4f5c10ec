"""`make bench-click`: what this system adds to a chain's own time, and what a click costs, in one run.

Beside it stand a bare pycurl loop through the same proxies, and the same job in a single process
(bench/peers/single.py). Each process is measured by its own CPU time; proxies, chains and visitors are others, which
cost the measured ones nothing but their share of the machine. Contenders take turns. Take the numbers as ratios.
"""

import argparse
import asyncio
import itertools
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import uvloop
from google.protobuf.duration_pb2 import Duration

from bench import command, pressure, sizes
from bench.load.visitors import Answer, Visitors, quantile
from bench.measure import processes
from bench.measure.pace import paced
from bench.measure.report import ROOT, Row, at_least, at_most
from bench.world.stack import SERVICES, Network, Settings, Shape, Stack, running
from local.postgres.server import EmbeddedPostgres

CHAIN = "/wait/25/3"
"""Four hops of 25 ms."""
HELD_RATE = 150.0
MAX_WAIT = 1.0
DEADLINE_RATE = 50.0
EVEN_RATE = 50.0

SETTINGS: Settings = {
    "gateway": {
        "GATEWAY_CLIENT_RATE": "1000000",
        "GATEWAY_CLIENT_BURST": "1000000",
        "GATEWAY_OFFER_RATE": "1000000",
        "GATEWAY_OFFER_BURST": "1000000",
        "GATEWAY_MAX_WAITING": "20000",
        "GATEWAY_MAX_TRACES": "20000",
        "GATEWAY_GRACE": "0s",
    },
    "pool_manager": {"POOL_COOLDOWN": "1s"},
    "tracer": {"TRACER_MAX_TRACES": "20000", "TRACER_GRACE": "0s"},
}

_TRACING = "SELECT count(*) FROM clicks.click_log WHERE status = 'TRACING'"
_LOOKS = 75
_numbers = itertools.count()


def query(offer: str) -> str:
    """Returns the query of a click with an identity of its own."""
    return f"offer={offer}&gclid=bench-{next(_numbers)}&utm_source=bench&utm_campaign=a%20b"


async def bare(port: int, count: int) -> list[float]:
    """Returns the seconds of each walk of a bare pycurl loop, in a process of its own."""
    command = [sys.executable, "-m", "bench.peers.bare", str(port), CHAIN, str(count)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    return [float(word) for word in output.split()]


async def burst(visitors: Visitors, offer: str, count: int) -> list[Answer]:
    """Lets visitors click all at once."""
    return await asyncio.gather(*(visitors.click(query(offer)) for _ in range(count)))


async def stream(visitors: Visitors, offer: str, rate: float, seconds: float) -> list[Answer]:
    """Lets visitors click at an even pace."""
    return await paced(lambda _: visitors.click(query(offer)), rate=rate, seconds=seconds)


def landed(answers: list[Answer]) -> list[float]:
    """Returns the seconds of each answer; RuntimeError if one of them is no landing page."""
    for answer in answers:
        if answer.status != 302 or "/wait/25/0" not in answer.location:
            raise RuntimeError(f"a click did not land: {answer}")
    return [answer.seconds for answer in answers]


async def visitor_time(stack: Stack, visitors: Visitors, size: sizes.Click) -> list[Row]:
    """Measures how long a visitor waits beside a bare walk: many at once, and spread over some seconds."""
    await visitors.arrive(size.at_once)
    landed(await burst(visitors, "chain", size.at_once))
    walks: list[float] = []
    bursts: list[float] = []
    for _ in range(size.rounds):
        walks += await bare(stack.network_port, size.at_once)
        await asyncio.sleep(0.3)
        bursts += landed(await burst(visitors, "chain", size.at_once))
        await asyncio.sleep(0.3)
    spread = landed(await stream(visitors, "chain", EVEN_RATE, size.even_seconds))
    rows = []
    for share, limit in ((0.50, 1.10), (0.99, 1.25)):
        name = f"p{share * 100:.0f}"
        base, ours, alone = (quantile(values, share) * 1000 for values in (walks, bursts, spread))
        rows += [
            Row(f"{name} of a bare pycurl walk, {size.at_once} at once", base, "ms"),
            Row(f"{name} of a visitor's wait, {size.at_once} at once", ours, "ms"),
            at_most("  ratio", ours / base, limit),
            Row(f"{name} of a visitor's wait, 50 clicks/s", alone, "ms"),
            at_most("  ratio", alone / base, limit),
        ]
    return rows


async def saturate(click: Callable[[], Awaitable[Answer]], visitors: int, seconds: float) -> int:
    """Lets visitors click again and again; returns how many answers there were."""
    done = 0
    end = time.perf_counter() + seconds

    async def visitor() -> None:
        nonlocal done
        while time.perf_counter() < end:
            landed([await click()])
            done += 1

    await asyncio.gather(*(visitor() for _ in range(visitors)))
    return done


@asynccontextmanager
async def single(stack: Stack) -> AsyncIterator[tuple[int, int]]:
    """Runs the single-process version and yields its pid and port."""
    command = [
        sys.executable,
        "-m",
        "bench.world.child",
        "bench.peers.single",
        stack.url,
        str(stack.network_port),
        f"http://start.test{CHAIN}",
    ]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        if process.stdout is None:
            raise AssertionError("stdout is a pipe")
        yield process.pid, int(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()


async def cost(stack: Stack, visitors: Visitors, size: sizes.Click) -> list[Row]:
    """Measures clicks per second of CPU at saturation, ours and in a single process, in many short turns.

    What else a machine does changes from one second to the next, so ratios are those of two turns side by side.
    """
    ours: list[dict[str, float]] = []
    others: list[dict[str, float]] = []
    rates: list[float] = []
    async with single(stack) as (pid, port):
        plain = Visitors(port)

        def cpu() -> dict[str, float]:
            return {**stack.cpu(), "single": processes.cpu([pid])}

        async def turn(clicking: Visitors) -> tuple[int, dict[str, float]]:
            # What the clicks of the turn before leave to be done is not to count as that of these.
            await asyncio.sleep(size.pause_seconds)
            before = cpu()
            clicks = await saturate(
                lambda: clicking.click(query("chain")), size.saturation_visitors, size.saturation_seconds
            )
            after = cpu()
            return clicks, {name: (after[name] - before[name]) * 1000 / clicks for name in after}

        await turn(visitors)
        await turn(plain)
        for _ in range(size.saturation_rounds):
            clicks, parts = await turn(visitors)
            ours.append(parts)
            rates.append(clicks / size.saturation_seconds)
            _, parts = await turn(plain)
            others.append(parts)
        plain.leave()

    def services(parts: dict[str, float]) -> float:
        return sum(parts[name] for name in SERVICES)

    def whole(parts: dict[str, float]) -> float:
        return services(parts) + parts["postgres"]

    def alone(parts: dict[str, float]) -> float:
        return parts["single"] + parts["postgres"]

    pairs = list(zip(ours, others, strict=True))
    return [
        *(Row(f"CPU of a click: {name}", median(p[name] for p in ours), "ms") for name in (*SERVICES, "postgres")),
        Row("CPU of a click: the services together", median(map(services, ours)), "ms"),
        Row("CPU of a click: the single process", median(p["single"] for p in others), "ms"),
        Row("CPU of a click: its PostgreSQL", median(p["postgres"] for p in others), "ms"),
        Row("clicks/s at saturation, with the load and the network beside", median(rates), "/s"),
        Row("clicks/s per core, services and PostgreSQL", 1000 / median(map(whole, ours)), "/s"),
        Row("clicks/s per core, single process and PostgreSQL", 1000 / median(map(alone, others)), "/s"),
        at_least("  ratio", median(alone(p) / whole(o) for o, p in pairs), 0.5),
        Row("  ratio without PostgreSQL on either side", median(p["single"] / services(o) for o, p in pairs)),
    ]


async def deadline(_stack: Stack, visitors: Visitors, size: sizes.Click) -> list[Row]:
    """Measures how long after `max_wait` the fallback leaves, while other clicks keep the services busy."""
    others = asyncio.create_task(stream(visitors, "chain", DEADLINE_RATE, size.deadline_seconds))
    slow = await stream(visitors, "late", DEADLINE_RATE, size.deadline_seconds - MAX_WAIT)
    landed(await others)
    late = []
    for answer in slow:
        if answer.status != 302 or "/wait/3000/3" not in answer.location:
            raise RuntimeError(f"a slow click did not fall back: {answer}")
        late.append((answer.seconds - MAX_WAIT) * 1000)
    return [
        Row(f"fallback after max_wait, p50, {2 * DEADLINE_RATE:.0f} clicks/s", quantile(late, 0.5), "ms"),
        at_most("fallback after max_wait, p99", quantile(late, 0.99), 50, "ms"),
    ]


async def held(stack: Stack, visitors: Visitors, size: sizes.Click) -> list[Row]:
    """Measures the memory of each service with thousands of traces in flight."""
    before = stack.memory()
    await stream(visitors, "held", HELD_RATE, size.held / HELD_RATE)
    async with stack.connection() as connection:
        for _ in range(_LOOKS):
            open_traces = await connection.fetchval(_TRACING)
            if open_traces >= size.held:
                break
            await asyncio.sleep(0.2)
    during = stack.memory()
    landed(await burst(visitors, "chain", 10))
    rows = [Row("traces in flight", float(open_traces), "", f">= {size.held}", open_traces >= size.held)]
    for name in SERVICES:
        rows.append(Row(f"memory: {name}", during[name], "MiB"))
        rows.append(Row("  for each trace", (during[name] - before[name]) * 1024 / size.held, "KiB"))
    return rows


PARTS: dict[str, Callable[[Stack, Visitors, sizes.Click], Awaitable[list[Row]]]] = {
    "visitor": visitor_time,
    "cost": cost,
    "deadline": deadline,
    "held": held,
}
PRESSURE = "pressure"
"""The section that has a stack of its own, because it wants other limits."""


async def measure(
    postgres: EmbeddedPostgres, network: Network, logs: Path, parts: Sequence[str], size: sizes.Sizes
) -> list[Row]:
    """Takes measurements."""
    rows: list[Row] = []
    if PRESSURE in parts:
        rows += await pressure.measure(postgres, network, logs, size.pressure)
    usual = [part for part in parts if part != PRESSURE]
    return rows + await usual_parts(postgres, network, logs, usual, size.click) if usual else rows


async def usual_parts(
    postgres: EmbeddedPostgres, network: Network, logs: Path, parts: Sequence[str], size: sizes.Click
) -> list[Row]:
    """Takes the measurements that share a stack."""
    async with running(postgres, network, logs, Shape(), SETTINGS) as stack:
        await stack.provision(size.ips)
        short = Duration(seconds=1)
        await stack.offer("chain", CHAIN)
        await stack.offer("late", "/wait/3000/3", max_wait=short)
        await stack.offer("held", "/wait/6000/8", max_wait=Duration(seconds=5))
        visitors = Visitors(stack.of("gateway")[0].port)
        rows: list[Row] = []
        for part in parts:
            rows += await PARTS[part](stack, visitors, size)
        visitors.leave()
        # Thousands of traces are still open; nobody waits for them.
        for instance in stack.instances:
            await instance.stop(signal.SIGKILL)
    return rows


def run(options: argparse.Namespace, size: sizes.Sizes) -> list[Row]:
    """Runs what the measurements need, and takes them."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65_536), most))
    with (
        tempfile.TemporaryDirectory(prefix="clicktrace-bench-", ignore_cleanup_errors=True) as directory,
        EmbeddedPostgres(Path(directory) / "postgres") as postgres,
        Network() as network,
    ):
        parts = options.parts or [*PARTS, PRESSURE]
        return uvloop.run(measure(postgres, network, Path(directory), parts, size))


def part(text: str) -> str:
    """Checks the name of a part for the command line."""
    if text not in (*PARTS, PRESSURE):
        raise argparse.ArgumentTypeError(f"{text!r} is no part: choose among {', '.join([*PARTS, PRESSURE])}")
    return text


def main() -> int:
    """Prints and stores the report; returns 1 if a limit was missed."""
    return command.main(
        "click",
        __doc__,
        run,
        add_arguments=lambda parser: parser.add_argument(
            "parts", nargs="*", type=part, metavar="PART", help=f"{', '.join([*PARTS, PRESSURE])}; all if left out"
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
