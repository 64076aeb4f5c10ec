"""Proves that leases keep their promises while replicas are killed and frozen past the TTL and PostgreSQL is restarted
and killed: thousands of calls on three replicas, and a checker over all their answers.
"""

import asyncio
import itertools
import random
import signal
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio

from clicktrace.pool.v1 import pool_pb2 as pb
from clicktrace.pool.v1 import pool_pb2_grpc
from libs.common.postgres.migrate import migrate
from libs.common.rpc.status import from_rpc_error
from libs.common.rpc.times import to_datetime, to_duration
from tests.integration.pool_manager.history import Event, Granted, KeepLost, Kept, Released, ReleaseLost, check
from tests.integration.pool_manager.own_postgres import OwnPostgres, own_postgres
from tests.integration.pool_manager.rig import Manager, ManagerProcess

IPS = 24
CALLERS = 48
COOLDOWN = 0.3
TTL = 1.0
SETTINGS = {"POOL_COOLDOWN": f"{COOLDOWN}s", "POOL_FAILURE_LIMIT": "1000"}
# Answers that callers of a service under such treatment must expect; anything else is a fault.
EXPECTED = {"NO_AVAILABLE_IP", "DATABASE_UNAVAILABLE", "LEASE_LOST", "UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"}


@dataclass
class Replica:
    """One server that is started anew, at the same port, whenever it was killed."""

    url: str
    process: ManagerProcess
    manager: Manager

    @classmethod
    async def start(cls, url: str) -> "Replica":
        process = await ManagerProcess.start(url, settings=SETTINGS)
        return cls(url, process, Manager.of(f"127.0.0.1:{process.port}"))

    async def end(self) -> None:
        await self.process.stop(signal.SIGKILL)

    async def restart(self) -> None:
        await self.end()
        self.process = await ManagerProcess.start(self.url, port=self.process.port, settings=SETTINGS)


@dataclass
class Run:
    """What all callers saw."""

    replicas: list[Replica]
    events: list[Event] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    over: bool = False

    def client(self, chance: random.Random) -> "pool_pb2_grpc.PoolManagerAsyncStub":
        return chance.choice(self.replicas).manager.leases


async def caller(run: Run, number: int) -> None:
    """Leases, keeps and releases as long as the run goes on, each call at any replica."""
    chance = random.Random(number)
    for count in itertools.count():
        if run.over:
            return
        lease = await acquire(run, chance, f"caller-{number}-{count}")
        if lease is None:
            continue
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(chance.uniform(0, TTL * 0.6))
            await keep(run, chance, lease)
        # Some holders crash, and some release twice.
        for _ in range(chance.choices([0, 1, 2], [0.1, 0.5, 0.4])[0]):
            await release(run, chance, lease)


async def keep(run: Run, chance: random.Random, lease: pb.Lease) -> None:
    beat = pb.HeartbeatRequest(lease_id=lease.lease_id, fence=lease.fence, ttl=to_duration(TTL))
    name = (lease.proxy.ip_address, lease.fence)
    try:
        kept = await run.client(chance).Heartbeat(beat, timeout=1.0)
    except aio.AioRpcError as error:
        run.reasons[from_rpc_error(error).reason] += 1
        run.events.append(KeepLost(*name))
    else:
        run.events.append(Kept(*name, seconds(kept.db_time), seconds(kept.expire_time)))


async def release(run: Run, chance: random.Random, lease: pb.Lease) -> None:
    end = pb.ReleaseRequest(lease_id=lease.lease_id, fence=lease.fence, outcome=pb.SUCCESS)
    name = (lease.proxy.ip_address, lease.fence, time.time())
    try:
        released = await run.client(chance).Release(end, timeout=1.0)
    except aio.AioRpcError as error:
        run.reasons[from_rpc_error(error).reason] += 1
        run.events.append(ReleaseLost(*name))
    else:
        run.events.append(Released(*name, seconds(released.db_time), seconds(released.available_time)))


async def acquire(run: Run, chance: random.Random, request_id: str) -> pb.Lease | None:
    """Asks for an IP, up to three times under one request id, at any replica each time."""
    wanted = pb.LeaseRequest(request_id=request_id, country="us", ttl=to_duration(TTL), wait=to_duration(0.5))
    lease = None
    for _ in range(3):
        try:
            granted = await run.client(chance).Lease(wanted, timeout=chance.choice([0.05, 1.0, 1.0]))
        except aio.AioRpcError as error:
            run.reasons[from_rpc_error(error).reason] += 1
            continue
        lease = granted.lease
        run.events.append(
            Granted(
                lease.proxy.ip_address, lease.fence, request_id, seconds(granted.db_time), seconds(lease.expire_time)
            )
        )
        # Now and then the answer is taken for lost, and asked for again.
        if chance.random() < 0.8:
            break
    return lease


def seconds(moment: Timestamp) -> float:
    return to_datetime(moment).timestamp()


async def chaos(run: Run, server: OwnPostgres) -> None:
    """Does to the servers, one after the other, what may happen to them."""
    one, two, three = run.replicas
    for victim in (one, two):
        await asyncio.sleep(0.7)
        await victim.restart()
    # Frozen past the TTL: what it had under way is then too late, and must change nothing.
    three.process.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(TTL + COOLDOWN + 0.3)
    three.process.process.send_signal(signal.SIGCONT)
    await asyncio.sleep(0.7)
    await server.restart()
    await asyncio.sleep(1.5)
    await server.crash()
    await asyncio.sleep(1.5)


@pytest.mark.chaos
async def test_leases_keep_their_promises_whatever_happens_to_the_servers() -> None:
    async with own_postgres() as server:
        url = server.url
        await migrate(url, schema="pool", package="services.pool_manager.db")
        async with AsyncExitStack() as stack:
            run = Run([await Replica.start(url) for _ in range(3)])
            for replica in run.replicas:
                stack.push_async_callback(replica.end)
                await stack.enter_async_context(replica.manager.channel)
            await run.replicas[0].manager.provision(IPS)
            async with asyncio.TaskGroup() as group:
                for number in range(CALLERS):
                    group.create_task(caller(run, number))
                await chaos(run, server)
                run.over = True

    grants = sum(isinstance(event, Granted) for event in run.events)
    assert check(run.events, COOLDOWN) == []
    assert set(run.reasons) <= EXPECTED, run.reasons
    # The run must have been worth something, and the service must have come back after each blow.
    assert grants > 200, (grants, run.reasons)
    last = max(event.time for event in run.events if isinstance(event, Granted))
    assert sum(isinstance(event, Granted) and event.time > last - 1.0 for event in run.events) > 10
