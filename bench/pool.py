"""`make bench-pool`: a lease beside an empty call, one transaction per lease, and pharox; and what the IPs can give.

One run, on one PostgreSQL, with a server and callers in processes of their own. What is compared takes turns, many and
short ones, because machines change their speed by the second; rates are the median of their turns, and percentiles
those of all calls together. Take the numbers as ratios: the machine and what else runs on it are part of them. Prints a
table, writes bench/results/pool.json, and fails if a limit was not kept.
"""

import argparse
import asyncio
import importlib.util
import itertools
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import uvloop
from grpc import aio

from bench import command, sizes
from bench.measure.pace import paced
from bench.measure.report import ROOT, Row
from bench.peers.pool_peers import bare_updates, by_transaction
from bench.world.pool_server import EMPTY
from clicktrace.pool.v1 import pool_pb2 as pb
from clicktrace.pool.v1 import pool_pb2_grpc
from libs.common.postgres.migrate import migrate
from libs.common.process.lifecycle import tune_garbage_collection
from libs.common.rpc.times import to_duration
from local.postgres.server import EmbeddedPostgres

CALLERS = 64
# As many callers as the usual way has connections, and pharox threads.
PEERS = 16
BATCH = 32
COOLDOWN = 60.0

_numbers = itertools.count()


@contextmanager
def server(url: str, cooldown: float) -> Iterator[int]:
    """Runs a server over the database, with a `cooldown` in seconds, and yields its port."""
    words = [sys.executable, "-m", "bench.world.pool_server", url, str(cooldown)]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None:
            raise AssertionError("stdout is a pipe")
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


@asynccontextmanager
async def client(port: int) -> AsyncIterator[tuple["pool_pb2_grpc.PoolManagerAsyncStub", Callable[[], Awaitable[Any]]]]:
    """Yields a stub without our interceptors, and the empty call, over one channel."""
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        empty: Any = channel.unary_unary(f"/{EMPTY}/Call")
        yield pool_pb2_grpc.PoolManagerStub(channel), lambda: empty(b"")


async def fill(url: str, count: int) -> None:
    """Leaves `count` available IPs in an otherwise fresh pool."""
    connection = await asyncpg.connect(url)
    await connection.execute("TRUNCATE pool.proxies, pool.leases")
    await connection.execute(
        "INSERT INTO pool.proxies (ip_address, ip_port, country, available_at)"
        " SELECT 'proxy-' || n, 7000, 'us', now() - interval '1 hour' FROM generate_series(1, $1::integer) AS n",
        count,
        timeout=600,
    )
    await connection.execute("VACUUM ANALYZE pool.proxies", timeout=600)
    await connection.close()


async def rate(callers: int, step: Callable[[int], Awaitable[int]], seconds: float) -> tuple[float, list[float]]:
    """Lets callers repeat a step; returns what the steps count for, a second, and the time of each step."""
    times: list[float] = []
    done = 0
    end = time.perf_counter() + seconds

    async def caller(number: int) -> None:
        nonlocal done
        while (began := time.perf_counter()) < end:
            count = await step(number)
            done += count
            times.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(callers)))
    return done / (time.perf_counter() - began), times


def p99(times: list[float]) -> float:
    """Returns the 99th percentile in milliseconds."""
    return statistics.quantiles(times, n=100)[-1] * 1000


async def unary(url: str, port: int, size: sizes.Pool) -> list[Row]:
    """(a) Lease and Release one by one beside the empty call, in calls a second; (d) the p99 of Lease at half load.

    Half load is half of what each of them reaches; the empty call is measured at that of Lease and Release too.
    """
    await fill(url, size.unary)
    numbers = itertools.count()
    async with client(port) as (stub, empty):

        async def nothing(_: int) -> int:
            await empty()
            return 1

        async def pair(number: int) -> int:
            await leased(number)
            return 2

        async def leased(_: int) -> float:
            began = time.perf_counter()
            lease = (await stub.Lease(pb.LeaseRequest(request_id=f"unary-{next(numbers)}", country="us"))).lease
            took = time.perf_counter() - began
            await stub.Release(pb.ReleaseRequest(lease_id=lease.lease_id, fence=lease.fence, outcome=pb.SUCCESS))
            return took

        async def called(_: int) -> float:
            began = time.perf_counter()
            await empty()
            return time.perf_counter() - began

        await rate(CALLERS, pair, size.seconds)
        floors, ours = [], []
        for _ in range(size.rounds):
            floors.append((await rate(CALLERS, nothing, size.seconds))[0])
            ours.append((await rate(CALLERS, pair, size.seconds))[0])
        floor, pairs = statistics.median(floors), statistics.median(ours)

        at_own_half: list[float] = []
        at_our_half: list[float] = []
        ours_at_half: list[float] = []
        for _ in range(size.paced_rounds):
            at_own_half += await warm(called, floor / 2, size)
            at_our_half += await warm(called, pairs / 2, size)
            ours_at_half += await warm(leased, pairs / 4, size)
    share = pairs / floor
    ratio = p99(ours_at_half) / p99(at_own_half)
    return [
        Row("empty unary calls", floor, "/s"),
        Row("Lease and Release, unary", pairs, "calls/s"),
        Row("  share of the empty call's rate", share, "", ">= 0.7", share >= 0.7),
        Row("p99 of the empty call at half load", p99(at_own_half), "ms"),
        Row("p99 of Lease at half load", p99(ours_at_half), "ms"),
        Row("  ratio", ratio, "", "<= 3", ratio <= 3),
        Row("p99 of the empty call at half the load of Lease", p99(at_our_half), "ms"),
        Row("  ratio", p99(ours_at_half) / p99(at_our_half), ""),
    ]


async def warm(
    step: Callable[[int], Coroutine[Any, Any, float]], steps_per_second: float, size: sizes.Pool
) -> list[float]:
    """Returns what steps take at an even pace, in seconds, without those of the warm-up."""
    times = await paced(step, rate=steps_per_second, seconds=size.paced_seconds)
    return times[round(size.warm_seconds * steps_per_second) :]


async def batches(port: int, seconds: float) -> float:
    """Returns how many pairs a second go through BatchLease and BatchRelease of 32."""
    async with client(port) as (stub, _):

        async def pairs(_: int) -> int:
            requests = [pb.LeaseRequest(request_id=f"batch-{next(_numbers)}", country="us") for _ in range(BATCH)]
            granted = await stub.BatchLease(pb.BatchLeaseRequest(requests=requests))
            leases = [result.response.lease for result in granted.results if result.HasField("response")]
            ends = [
                pb.ReleaseRequest(lease_id=lease.lease_id, fence=lease.fence, outcome=pb.SUCCESS) for lease in leases
            ]
            await stub.BatchRelease(pb.BatchReleaseRequest(requests=ends))
            return len(leases)

        return (await rate(PEERS, pairs, seconds))[0]


async def pharox(url: str, seconds: float) -> tuple[float, float] | None:
    """Returns how many pairs a second pharox makes, and the share of its attempts that failed; None without it."""
    if importlib.util.find_spec("pharox") is None:
        print("pharox is not installed and not measured: make bootstrap-bench")
        return None
    words = [sys.executable, "-W", "ignore", "-m", "bench.peers.pharox_leases", url, str(seconds)]
    process = await asyncio.create_subprocess_exec(*words, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        sys.exit("pharox failed")
    pairs, failures = json.loads(output)
    return pairs, failures


async def throughput(urls: Mapping[int, str], size: sizes.Pool) -> list[Row]:
    """(b) Batches beside the usual way and pharox; (c) the same pool with a thousand and with a million IPs."""
    with ExitStack() as stack:
        ports = {}
        for ips, url in urls.items():
            await fill(url, ips)
            ports[ips] = stack.enter_context(server(url, cooldown=0.0))
            await batches(ports[ips], size.seconds)
        single: list[float] = []
        bare: list[float] = []
        grouped: dict[int, list[float]] = {ips: [] for ips in ports}
        plain = urls[size.usual]
        async with await asyncpg.create_pool(plain, min_size=PEERS, max_size=PEERS) as connections:

            async def usual(_: int) -> int:
                return await by_transaction(connections, f"usual-{next(_numbers)}")

            async def least(_: int) -> int:
                return await bare_updates(connections)

            await rate(PEERS, usual, size.seconds)
            for _ in range(size.rounds):
                single.append((await rate(PEERS, usual, size.seconds))[0])
                bare.append((await rate(PEERS, least, size.seconds))[0])
                for ips, port in ports.items():
                    grouped[ips].append(await batches(port, size.seconds))
        others = await pharox(plain, size.seconds)
    one, least_of_all = statistics.median(single), statistics.median(bare)
    ours, few, many = (statistics.median(grouped[ips]) for ips in (size.usual, size.few, size.many))
    peer, beside_peer = [], []
    if others is not None:
        other, failed = others
        peer = [Row("pharox, 16 threads", other, "pairs/s"), Row("  share of its attempts that failed", failed)]
        beside_peer = [Row("  times pharox", ours / other, "", ">= 100", ours / other >= 100)]
    return [
        Row("one transaction per lease, the same records", one, "pairs/s"),
        Row("a bare UPDATE per lease, no records", least_of_all, "pairs/s"),
        *peer,
        Row(f"BatchLease and BatchRelease of {BATCH}", ours, "pairs/s"),
        Row("  times one transaction per lease", ours / one, "", ">= 8", ours / one >= 8),
        Row("  times a bare UPDATE", ours / least_of_all, ""),
        *beside_peer,
        Row("the same with a thousand IPs", few, "pairs/s"),
        Row("the same with a million IPs", many, "pairs/s"),
        Row("  a thousand to a million", few / many, "", "<= 1.3", few / many <= 1.3),
    ]


async def saturation(url: str, port: int, size: sizes.Pool) -> list[Row]:
    """(e) More waiters than IPs: the grants beside what the IPs can give at most, IPs × time / (hold + cooldown)."""
    ips, waiters, cooldown = 40, 120, 0.3
    await fill(url, ips)
    numbers = itertools.count()
    granted: list[float] = []
    held: list[float] = []
    # Holds of different lengths, so that IPs come free one by one and not in waves.
    chance = random.Random(1)  # noqa: S311 - nothing to guess
    async with client(port) as (stub, _):
        end = time.perf_counter() + size.saturation_seconds

        async def caller() -> None:
            while time.perf_counter() < end:
                wanted = pb.LeaseRequest(request_id=f"full-{next(numbers)}", country="us", wait=to_duration(5))
                lease = (await stub.Lease(wanted)).lease
                granted.append(began := time.perf_counter())
                await asyncio.sleep(chance.uniform(0.1, 0.3))
                await stub.Release(pb.ReleaseRequest(lease_id=lease.lease_id, fence=lease.fence, outcome=pb.SUCCESS))
                held.append(time.perf_counter() - began)

        await asyncio.gather(*(caller() for _ in range(waiters)))
    # At first the waves of the beginning even out.
    first, last = granted[0] + size.settling_seconds, end
    measured = sum(first <= moment < last for moment in granted)
    share = measured / (ips * (last - first) / (statistics.mean(held) + cooldown))
    return [
        Row("grants at saturation", measured, ""),
        Row("  share of what the IPs can give", share, "", ">= 0.97", share >= 0.97),
    ]


async def databases(server_url: Callable[[str], str], size: sizes.Pool) -> Mapping[int, str]:
    """Makes a migrated database for each number of IPs, on the same server."""
    urls = {}
    connection = await asyncpg.connect(server_url("postgres"))
    for ips in (size.usual, size.few, size.many):
        await connection.execute(f"CREATE DATABASE bench_{ips}")
        urls[ips] = server_url(f"bench_{ips}")
        await migrate(urls[ips], schema="pool", package="services.pool_manager.db")
    await connection.close()
    return urls


async def measure(server_url: Callable[[str], str], size: sizes.Pool) -> list[Row]:
    """Takes all measurements."""
    # The pauses of the callers are not the server's.
    tune_garbage_collection()
    urls = await databases(server_url, size)
    with server(urls[size.usual], cooldown=COOLDOWN) as port:
        report = await unary(urls[size.usual], port, size)
    report += await throughput(urls, size)
    with server(urls[size.usual], cooldown=0.3) as port:
        report += await saturation(urls[size.usual], port, size)
    return report


def run(_options: argparse.Namespace, size: sizes.Sizes) -> list[Row]:
    """Runs a PostgreSQL and takes all measurements on it."""
    # As in production: a commit is on the disk before it is answered.
    with (
        tempfile.TemporaryDirectory(prefix="clicktrace-bench-", ignore_cleanup_errors=True) as directory,
        EmbeddedPostgres(Path(directory)) as postgres,
    ):
        return uvloop.run(measure(postgres.url, size.pool))


def main() -> int:
    """Prints and stores the report; returns 1 if a limit was missed."""
    return command.main("pool", __doc__, run)


if __name__ == "__main__":
    sys.exit(main())
