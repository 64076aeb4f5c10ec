"""Tracers that come and go under load, behind a name as a headless Service gives it: new ones get work at once, those
that leave get none and finish theirs, and no click fails.
"""

import asyncio
import re
import signal
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest

from clicktrace.gateway.v1 import gateway_pb2
from local.ports import free_ports
from local.run.readiness import GrpcHealth
from tests.support.names import Names
from tests.support.processes import Gateway, ServiceProcess, gateways
from tests.support.system import Answer, System, state_directory

NAME = "tracer.clicktrace.test"
CLICKS_A_SECOND = 15
SLOW_HOP = 0.5
"""Each chain has three of these, so some 20 walks are under way at a time."""

_BEGUN = re.compile(r"^clicktrace_tracer_traces_total (\S+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """Runs the system for its pool, its proxies and its offers; its own gateway and tracer stay idle."""
    options = ("--proxies", "120", "--cooldown", "1s", "--slow-hop", f"{SLOW_HOP}s")
    with state_directory() as state, System(state, options) as system:
        yield system


@dataclass
class Pod:
    """A tracer with an address of its own."""

    address: str
    process: ServiceProcess
    metrics: int

    @classmethod
    async def start(cls, address: str, port: int) -> "Pod":
        (metrics,) = free_ports(1)
        settings = {
            "TRACER_LISTEN": f"{address}:{port}",
            "TRACER_METRICS_LISTEN": f"{address}:{metrics}",
            "TRACER_ALLOWED_NETWORKS": "127.0.0.0/8",
            "TRACER_ALLOWED_HOSTS": ".localhost",
        }
        return cls(address, await ServiceProcess.start("tracer", settings, GrpcHealth(f"{address}:{port}")), metrics)

    async def begun(self, session: aiohttp.ClientSession) -> int:
        """Returns how many walks it has begun."""
        async with session.get(f"http://{self.address}:{self.metrics}/metrics") as response:
            text = await response.text()
        found = _BEGUN.search(text)
        assert found, text
        return round(float(found[1]))


@dataclass
class Load:
    """Clicks at a constant rate, and what became of them."""

    gateway: Gateway
    answers: deque[Answer] = field(default_factory=deque)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Clicks until it is cancelled."""
        clock = asyncio.get_running_loop().time
        began = clock()
        number = 0
        while True:
            number += 1
            task = asyncio.create_task(self._click(number))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(max(0.0, began + number / CLICKS_A_SECOND - clock()))

    async def _click(self, number: int) -> None:
        self.answers.append(await self.gateway.click(f"offer=demo-slow&gclid=load-{number}"))

    async def over(self) -> None:
        """Waits for the last answers."""
        await asyncio.gather(*self._tasks)


@asynccontextmanager
async def under_load(gateway: Gateway) -> AsyncIterator[Load]:
    """Clicks while the block runs; at its end every click must have got to its landing page."""
    load = Load(gateway)
    clicking = asyncio.create_task(load.run())
    try:
        yield load
    finally:
        clicking.cancel()
        await load.over()
    assert load.answers
    assert [answer for answer in load.answers if answer.status != 302 or "clickid" not in answer.params] == []


async def test_a_new_tracer_gets_its_share_and_one_that_leaves_gets_nothing_more(system: System) -> None:
    (port,) = free_ports(1)
    with Names() as names:
        pods = [await Pod.start(f"127.0.0.{number}", port) for number in (2, 3, 4)]
        names.addresses[NAME] = tuple(pod.address for pod in pods)
        settings = {
            "tracer_target": names.target(NAME, port),
            "plaintext": "true",
            "client_rate": "10000",
            "client_burst": "10000",
        }
        async with gateways(system, 1, **settings) as (gateway,), aiohttp.ClientSession() as session:
            async with under_load(gateway) as load:
                clock = asyncio.get_running_loop().time
                async with asyncio.timeout(30):
                    while min([await pod.begun(session) for pod in pods]) < 10:
                        await asyncio.sleep(0.1)

                new = await Pod.start("127.0.0.5", port)
                pods.append(new)
                names.addresses[NAME] = tuple(pod.address for pod in pods)
                began = clock()
                first, whole = await share_of(new, pods, session, within=30)
                print(
                    f"the fourth tracer: first walk after {first - began:.1f} s, its share after {whole - began:.1f} s"
                )

                leaving = pods[0]
                leaving.process.send(signal.SIGTERM)
                await asyncio.sleep(1)
                at_one_second = await leaving.begun(session)
                seen = at_one_second
                while leaving.process.process.returncode is None:
                    try:
                        seen = await leaving.begun(session)
                    except aiohttp.ClientError:
                        break  # it is gone
                    await asyncio.sleep(0.05)
                assert await leaving.process.ended() == 0
                assert seen == at_one_second
                assert not [entry for entry in leaving.process.log if entry["event"] == "server.cancelling"]
                print(f"the one that left had begun {seen} walks and finished all; {len(load.answers)} clicks so far")
            statuses = {(await gateway.recorded(answer.click_id)).status for answer in load.answers}
            assert statuses == {gateway_pb2.COMPLETED}
            assert whole - began < 10
        for pod in pods:
            await pod.process.stop(signal.SIGKILL)


async def share_of(new: Pod, pods: list[Pod], session: aiohttp.ClientSession, *, within: float) -> tuple[float, float]:
    """Waits until a tracer gets three quarters of an even share of the walks of the last two seconds at least.

    Returns when it got its first walk, and when its share.
    """
    clock = asyncio.get_running_loop().time
    past: deque[tuple[float, list[int]]] = deque()
    first = 0.0
    async with asyncio.timeout(within):
        while True:
            now = clock()
            counts = [await pod.begun(session) for pod in pods]
            past.append((now, counts))
            while past[0][0] < now - 2:
                past.popleft()
            fresh = [after - before for before, after in zip(past[0][1], counts, strict=True)]
            mine = fresh[pods.index(new)]
            if mine and not first:
                first = now
            if now - past[0][0] > 1.5 and mine >= 0.75 * sum(fresh) / len(pods):
                return first, now
            await asyncio.sleep(0.1)
