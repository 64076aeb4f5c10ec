"""The section `pressure` of `make bench-click`: what becomes of the clicks that there is no room for.

Each of them is to be answered with the fallback in under 100 ms, never with a 5xx, and to be in the log like any other.
The gateway stands behind a proxy that it trusts, so that visitors may come from as many addresses as one likes.
"""

import asyncio
import itertools
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from google.protobuf.duration_pb2 import Duration

from bench import sizes
from bench.load.visitors import Answer, Visitors, quantile
from bench.measure import processes
from bench.measure.pace import paced
from bench.measure.report import Row, at_least, at_most
from bench.world.stack import Network, Settings, Shape, Stack, running
from local.postgres.server import EmbeddedPostgres

RATE = 300.0
ADMITTED_RATE = 20.0
SATURATION_VISITORS = 16
HASTY = "198.51.100.7"
"""An address that clicks far more often than its rate allows."""
CHAIN = "/wait/25/3"
SLOW = "/wait/3000/3"

_IN_LOG = "SELECT count(*) FROM clicks.click_log WHERE reason = ANY($1)"
_REFUSALS = ["CLIENT_RATE", "OVERLOAD"]
_WAITING = re.compile(r"^clicktrace_gateway_visitors_waiting (\S+)", re.MULTILINE)
_TIMEOUT_SECONDS = 3.0
_LOOKS = 50
_numbers = itertools.count()


@dataclass
class _Crowd:
    """Visitors of one stack, and the count of those that were refused."""

    stack: Stack
    visitors: Visitors
    size: sizes.Pressure
    refused: int = 0

    async def refuse(self, offer: str, address: str) -> Answer:
        """Clicks where there is no room; RuntimeError if the answer is no fallback."""
        answer = await self.click(offer, address)
        if "/wait/25/0" in answer.location:
            raise RuntimeError(f"a click that there was no room for was traced: {answer}")
        self.refused += answer.status == 302
        return answer

    async def click(self, offer: str, address: str) -> Answer:
        """Clicks with an identity of its own."""
        query = f"offer={offer}&gclid=pressure-{next(_numbers)}&utm_source=bench&utm_campaign=a%20b"
        return await self.visitors.click(query, address=address)

    async def stream(self, offer: str, address: Callable[[int], str], rate: float, seconds: float) -> list[Answer]:
        """Refuses clicks at an even pace."""
        return await paced(lambda number: self.refuse(offer, address(number)), rate=rate, seconds=seconds)

    async def room_is_taken(self) -> None:
        """Returns when as many visitors wait as may, as the gateway counts them; TimeoutError after some seconds."""
        metrics = f"http://{self.stack.of('gateway')[0].environment['GATEWAY_INTERNAL_LISTEN']}/metrics"
        async with asyncio.timeout(_TIMEOUT_SECONDS), aiohttp.ClientSession() as session:
            waiting = 0.0
            while waiting < self.size.room:
                async with session.get(metrics) as response:
                    found = _WAITING.search(await response.text())
                waiting = float(found[1]) if found else 0.0

    def cpu(self) -> float:
        """Returns the CPU seconds of the gateway."""
        return processes.cpu([self.stack.of("gateway")[0].pid])


def _settings(room: int) -> Settings:
    """Returns the settings of a stack in which one address has one click, and so many visitors may wait."""
    return {
        "gateway": {
            "GATEWAY_CLIENT_RATE": "0.001",
            "GATEWAY_CLIENT_BURST": "1",
            "GATEWAY_MAX_WAITING": str(room),
            "GATEWAY_TRUSTED_HOPS": "1",
            "GATEWAY_GRACE": "0s",
        },
        "pool_manager": {"POOL_COOLDOWN": "1s"},
        "tracer": {"TRACER_GRACE": "0s"},
    }


async def measure(postgres: EmbeddedPostgres, network: Network, logs: Path, size: sizes.Pressure) -> list[Row]:
    """Takes the measurements on a stack of their own."""
    async with running(postgres, network, logs, Shape(), _settings(size.room)) as stack:
        await stack.provision(size.ips)
        await stack.offer("chain", CHAIN)
        await stack.offer("slow", SLOW, max_wait=Duration(seconds=int(size.waiting_seconds)))
        crowd = _Crowd(stack, Visitors(stack.of("gateway")[0].port), size)
        await crowd.visitors.arrive(size.at_once)
        # The one click that the address may have.
        await crowd.click("chain", HASTY)
        rows = [
            *await _hasty(crowd),
            *await _full(crowd),
            *await _cost(crowd),
            *await _burst(crowd),
            *await _recorded(crowd),
        ]
        crowd.visitors.leave()
        return rows


async def _hasty(crowd: _Crowd) -> list[Row]:
    """Lets one address click far too often, while others have their clicks traced."""
    async with asyncio.TaskGroup() as group:
        others = paced(
            lambda number: crowd.click("chain", _address(number)), rate=ADMITTED_RATE, seconds=crowd.size.seconds
        )
        group.create_task(others)
        refused = group.create_task(crowd.stream("chain", lambda _number: HASTY, RATE, crowd.size.seconds))
    return _rows(f"refused, one address, {RATE:.0f}/s", refused.result(), limit=100.0)


async def _full(crowd: _Crowd) -> list[Row]:
    """Lets visitors come from everywhere while as many wait as may."""
    room = crowd.size.room
    waiting = [asyncio.create_task(crowd.click("slow", _address(1_000 + number))) for number in range(room)]
    await crowd.room_is_taken()
    answers = await crowd.stream("chain", lambda number: _address(2_000 + number), RATE, crowd.size.seconds)
    await asyncio.gather(*waiting)
    return _rows(f"refused, {room} wait already, {RATE:.0f}/s", answers, limit=100.0)


async def _cost(crowd: _Crowd) -> list[Row]:
    """Measures the gateway's CPU for a click that is refused, at saturation."""
    end = time.perf_counter() + crowd.size.saturation_seconds
    before, refused = crowd.cpu(), crowd.refused

    async def visitor() -> None:
        while time.perf_counter() < end:
            await crowd.refuse("slow", HASTY)

    await asyncio.gather(*(visitor() for _ in range(SATURATION_VISITORS)))
    count = crowd.refused - refused
    return [
        Row("refused clicks/s at saturation", count / crowd.size.saturation_seconds, "/s"),
        Row("CPU of a refused click: gateway", (crowd.cpu() - before) * 1000 / count, "ms"),
    ]


async def _burst(crowd: _Crowd) -> list[Row]:
    """Lets one address click many times in one moment."""
    await asyncio.sleep(0.5)
    answers = await asyncio.gather(*(crowd.refuse("slow", HASTY) for _ in range(crowd.size.at_once)))
    return _rows(f"refused, {crowd.size.at_once} at once", answers)


def _rows(name: str, answers: Sequence[Answer], *, limit: float | None = None) -> list[Row]:
    times = [answer.seconds * 1000 for answer in answers]
    slowest = quantile(times, 0.99)
    return [
        Row(f"{name}: p50", quantile(times, 0.5), "ms"),
        Row(f"{name}: p99", slowest, "ms") if limit is None else at_most(f"{name}: p99", slowest, limit, "ms"),
        at_most("  answers that are no redirect", sum(answer.status != 302 for answer in answers), 0),
    ]


async def _recorded(crowd: _Crowd) -> list[Row]:
    """Looks whether every click that was refused is in the log."""
    async with crowd.stack.connection() as connection:
        for _ in range(_LOOKS):
            found = await connection.fetchval(_IN_LOG, _REFUSALS)
            if found >= crowd.refused:
                break
            await asyncio.sleep(0.1)
    return [at_least("refused clicks in the log, of those answered", found / crowd.refused, 1.0)]


def _address(number: int) -> str:
    """Returns an unused address."""
    return f"203.{number // 62_500}.{number // 250 % 250}.{number % 250 + 1}"
