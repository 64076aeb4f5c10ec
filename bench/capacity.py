"""`make bench-capacity`: what one PostgreSQL carries of leases and click records, and how independent two pools are.

The servers are as durable as in production (fsync). What PostgreSQL costs is counted in its own CPU time, because this
machine runs the callers too: a core of a database server does so many a second. Prints a table, writes
bench/results/capacity.json, and fails if a limit was not kept.
"""

import argparse
import asyncio
import itertools
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import uvloop
from grpc import aio

from bench import command, sizes
from bench.measure import processes
from bench.measure.pace import paced
from bench.measure.report import ROOT, Row, at_least, at_most
from clicktrace.pool.v1 import pool_pb2 as pb
from clicktrace.pool.v1 import pool_pb2_grpc
from libs.common.postgres import database
from libs.common.postgres.migrate import migrate
from libs.common.rpc.client import channel
from local.postgres.server import EmbeddedPostgres
from services.gateway.db.clicks import ClickTable
from services.gateway.model import Answer, Attempt, ClickRecord, ClickStatus, Hop
from services.pool_manager.db.leases import PostgresLeases
from services.pool_manager.leasing import attempts
from services.pool_manager.model.leases import Grant, LeaseRequest, Outcome, ReleaseRequest

REPLICAS = 2
HOPS = 6
CALLS_A_SECOND = 50

_numbers = itertools.count()


@contextmanager
def postgres() -> Iterator[EmbeddedPostgres]:
    """Runs a durable PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="clicktrace-capacity-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        with EmbeddedPostgres(Path(directory) / "postgres") as running:
            yield running


async def prepare(url: str, ips: int) -> None:
    """Makes the schemas, and puts IPs into the pool."""
    await migrate(url, schema="pool", package="services.pool_manager.db")
    await migrate(url, schema="clicks", package="services.gateway.db")
    connection = await asyncpg.connect(url)
    await connection.execute(
        "INSERT INTO ip_rotation_pool (ip_address, ip_port, country, provider)"
        " SELECT 'proxy-' || n, 7000, 'us', 'bench' FROM generate_series(1, $1::integer) AS n",
        ips,
    )
    await connection.execute("VACUUM ANALYZE pool.proxies")
    await connection.close()


@dataclass
class Spent:
    """What PostgreSQL spent inside a block: CPU seconds, bytes of WAL, and seconds of time."""

    cpu: float = 0.0
    wal: int = 0
    seconds: float = 0.0


@asynccontextmanager
async def spending(running: EmbeddedPostgres) -> AsyncIterator[Spent]:
    """Counts CPU seconds, bytes of WAL, and time."""
    connection = await asyncpg.connect(running.url())
    assert running.pid is not None
    spent = Spent()
    try:
        lsn = await connection.fetchval("SELECT pg_current_wal_lsn()")
        cpu, began = processes.cpu(processes.family(running.pid)), time.perf_counter()
        yield spent
        spent.seconds = time.perf_counter() - began
        spent.cpu = processes.cpu(processes.family(running.pid)) - cpu
        spent.wal = int(await connection.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), $1)", lsn))
    finally:
        await connection.close()


async def leases(running: EmbeddedPostgres, size: sizes.Capacity) -> AsyncIterator[Row]:
    """Leases and releases through statements of the pool manager, as several replicas send them."""
    for group in size.groups:
        stores = [PostgresLeases(running.url(), cooldown=0.0, failure_limit=1000) for _ in range(REPLICAS)]
        try:
            await asyncio.gather(*(pairs(store, group, size.warm_seconds) for store in stores))
            async with spending(running) as spent:
                done = sum(await asyncio.gather(*(pairs(store, group, size.seconds) for store in stores)))
        finally:
            for store in stores:
                store.close()
        yield Row(f"leases with release, {group} a statement, {REPLICAS} replicas", done / spent.seconds, "/s")
        yield Row("  by one core of PostgreSQL", done / spent.cpu, "/s")
        yield Row("  WAL for each", spent.wal / done, "bytes")


async def pairs(store: PostgresLeases, group: int, seconds: float) -> int:
    """Leases and releases groups of IPs for `seconds`; returns the number of leases."""
    done = 0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        asks = [
            attempts.Attempt(
                LeaseRequest(f"capacity-{next(_numbers)}", "us", "offer", "bench", 30.0, 0.0), repeat_only=False
            )
            for _ in range(group)
        ]
        grants = [answer for answer in await store.lease(asks) if isinstance(answer, Grant)]
        await store.release([ReleaseRequest(grant.token, Outcome.SUCCESS, "", 1.5, 20_000) for grant in grants])
        done += len(grants)
    return done


async def clicks(running: EmbeddedPostgres, size: sizes.Capacity) -> AsyncIterator[Row]:
    """Writes the log as a gateway does: each click once when it begins and once when it ends, many in one statement."""
    url = running.url()
    async with await database.connect_pool(url, application_name="bench") as connections:
        table = ClickTable(connections)
        for group in size.click_groups:
            await logged(table, group, size.warm_seconds)
            before = await connections.fetchval("SELECT pg_total_relation_size('clicks.clicks')")
            async with spending(running) as spent:
                done = sum(await asyncio.gather(*(logged(table, group, size.seconds) for _ in range(REPLICAS))))
            grown = await connections.fetchval("SELECT pg_total_relation_size('clicks.clicks')") - before
            yield Row(f"clicks of {HOPS} hops logged, {group} a statement", done / spent.seconds, "/s")
            yield Row("  by one core of PostgreSQL", done / spent.cpu, "/s")
            yield Row("  WAL for each", spent.wal / done, "bytes")
            yield Row("  table and indexes for each", grown / done, "bytes")


async def logged(table: ClickTable, group: int, seconds: float) -> int:
    """Logs clicks for `seconds`; returns their number."""
    done = 0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        begun = [record() for _ in range(group)]
        await table.write(begun)
        await table.write([ended(one) for one in begun])
        done += group
    return done


def record() -> ClickRecord:
    """Makes the record of a click that begins."""
    number, now = next(_numbers), datetime.now(UTC)
    return ClickRecord(
        f"{number:032x}", 1, "summer", ClickStatus.PENDING, now, now, f"offer=summer&gclid=Cj0KCQjw{number:040x}",
        visitor_address="203.0.113.0", user_agent="Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0",
    )  # fmt: skip


def ended(begun: ClickRecord) -> ClickRecord:
    """Makes the record of its end."""
    now = datetime.now(UTC)
    hops = [
        Hop(
            index, f"https://hop{index}.partner.example/c?{begun.inbound_query}", 302, "LOCATION",
            f"https://hop{index + 1}.partner.example/c?{begun.inbound_query}", 0.01, 0.02, 0.03, 0.1, 0.11, "",
        )
        for index in range(HOPS)
    ]  # fmt: skip
    return begun._replace(
        version=2, status=ClickStatus.COMPLETED, answer=Answer.LANDING, visitor_wait=1.2, end_time=now,
        location=f"https://shop.example/landing?{begun.inbound_query}", final_url="https://shop.example/landing",
        stop_reason="LANDING", hops=hops,
        attempts=[Attempt("lease-of-a-click", 1, "203.0.113.7", 7000, "us", 0.01, 1.1)],
    )  # fmt: skip


@dataclass
class Caller:
    """Leases and releases at a constant rate, regardless of failures."""

    stub: "pool_pb2_grpc.PoolManagerAsyncStub"
    waits: list[float] = field(default_factory=list)
    failures: int = 0

    async def call(self) -> None:
        """Leases and releases an IP."""
        began = time.perf_counter()
        try:
            request = pb.LeaseRequest(request_id=f"capacity-{next(_numbers)}", country="us", holder="bench")
            lease = (await self.stub.Lease(request, timeout=2)).lease
            done = pb.ReleaseRequest(lease_id=lease.lease_id, fence=lease.fence, outcome=pb.SUCCESS)
            await self.stub.Release(done, timeout=2)
        except aio.AioRpcError:
            self.failures += 1
        else:
            self.waits.append(time.perf_counter() - began)

    async def run(self, seconds: float) -> None:
        """Calls for so long."""
        self.waits, self.failures = [], 0
        await paced(lambda _: self.call(), rate=CALLS_A_SECOND, seconds=seconds)


@contextmanager
def server(url: str) -> Iterator[int]:
    """Runs a pool manager without cooldown over a database; yields its port."""
    words = [sys.executable, "-m", "bench.world.pool_server", url, "0"]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


async def independence(one: EmbeddedPostgres, other: EmbeddedPostgres, size: sizes.Capacity) -> AsyncIterator[Row]:
    """Calls one pool while that of another country, with a database of its own, does well, badly, and not at all."""
    with server(one.url()) as first, server(other.url()) as second:
        async with channel(f"dns:///127.0.0.1:{first}") as to_first, channel(f"dns:///127.0.0.1:{second}") as to_second:
            watched, neighbour = (Caller(pool_pb2_grpc.PoolManagerStub(opened)) for opened in (to_first, to_second))
            await watched.run(size.warm_seconds)
            await watched.run(size.seconds)
            yield Row("a pool alone, lease and release, median", statistics.median(watched.waits) * 1000, "ms")
            yield at_most("  failed", watched.failures, 0)
            for name, trouble in (
                ("works as much", None),
                ("has a frozen database", signal.SIGSTOP),
                ("has lost its database", signal.SIGKILL),
            ):
                with troubled(other, trouble):
                    await asyncio.gather(watched.run(size.seconds), neighbour.run(size.seconds))
                wait = statistics.median(watched.waits) * 1000
                yield Row(f"the same while its neighbour {name}", wait, "ms")
                yield at_most("  failed", watched.failures, 0)
                if trouble:
                    yield at_least("  failed at the neighbour", neighbour.failures, 1)


@contextmanager
def troubled(running: EmbeddedPostgres, number: signal.Signals | None) -> Iterator[None]:
    """Freezes a server while the block runs, or kills it for good, or leaves it alone."""
    assert running.pid is not None
    members = processes.family(running.pid)
    if number is signal.SIGKILL:
        running.kill()
    elif number is not None:
        _send(members, number)
    try:
        yield
    finally:
        if number is signal.SIGSTOP:
            _send(members, signal.SIGCONT)


def _send(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


async def measure(one: EmbeddedPostgres, other: EmbeddedPostgres, size: sizes.Capacity) -> list[Row]:
    """Takes all measurements."""
    await prepare(one.url(), size.ips)
    await prepare(other.url(), 1_000)
    rows: list[Row] = []
    for part in (leases(one, size), clicks(one, size), independence(one, other, size)):
        rows += [row async for row in part]
    return rows


def run(_options: argparse.Namespace, size: sizes.Sizes) -> list[Row]:
    """Runs two servers and takes all measurements on them."""
    with postgres() as one, postgres() as other:
        return uvloop.run(measure(one, other, size.capacity))


def main() -> int:
    """Prints and stores the report; returns 1 if a limit was missed."""
    return command.main("capacity", __doc__, run)


if __name__ == "__main__":
    sys.exit(main())
