"""`make soak`: the whole system under clicks while each of its processes is restarted; then the books are checked.

Two of each service. Visitors come at an even rate, each over a connection of its own, to a gateway that is ready, as a
load balancer would send them. What they were answered is compared with the click log, the pool with its own history,
and both with what the proxies saw. Modes:

    mixed    fast, slow, broken, hostile, repeated and beacon clicks; each process restarted by SIGTERM in turn
    rolling  chains of 1 to 20 s; each process restarted by SIGTERM, twice round; every click must land
    kill     as rolling, but by SIGKILL: only clicks that were in flight may fall back or stay unanswered
"""

import argparse
import asyncio
import itertools
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from google.protobuf.duration_pb2 import Duration

from bench import books, command, sizes
from bench.load.visitors import BROKEN, REFUSED, Answer, Visitors, quantile
from bench.world.stack import SERVICES, Instance, Network, Settings, Shape, Stack, running
from clicktrace.gateway.v1 import gateway_pb2 as pb
from local.postgres.server import EmbeddedPostgres
from local.run.readiness import HttpOk

COOLDOWN = 2.0
SETTINGS: Settings = {
    "gateway": {
        "GATEWAY_CLIENT_RATE": "1000000",
        "GATEWAY_CLIENT_BURST": "1000000",
        "GATEWAY_DRAIN_DELAY": "1s",
        "GATEWAY_GRACE": "30s",
        "GATEWAY_TRACE_TIMEOUT": "60s",
    },
    "pool_manager": {"POOL_COOLDOWN": f"{COOLDOWN}s", "POOL_DRAIN_DELAY": "1s"},
    "tracer": {"TRACER_MAX_TRACES": "5000", "TRACER_DRAIN_DELAY": "1s"},
}
_LOOK = 0.1
_TELL = 10.0
# How long a process that is dead may look alive to those who call it.
_NOTICED = 0.1


@dataclass(frozen=True)
class Kind:
    """One kind of click: its offer, how often it comes, and what its visitor must get."""

    name: str
    path: str
    share: float
    lands: bool = True
    """Whether the chain ends on a landing page before the visitor has waited long enough."""
    repeats: bool = False
    """Whether the visitor clicks twice at once."""
    max_wait: float = 10.0
    """How long the visitor waits, in seconds."""
    country: str = "us"
    mode: "pb.Mode" = pb.TRACE

    def is_right(self, answer: Answer) -> bool:
        """Returns whether an answer is right while nothing is lost."""
        if self.mode == pb.BEACON:
            return answer.status == 204
        return answer.status == 302 and self.has_landed(answer) == self.lands

    def has_landed(self, answer: Answer) -> bool:
        """Returns whether a visitor was sent to where the chain ends, and not to where it begins."""
        return self.path.rpartition("/")[0] + "/0?" in answer.location


def _mixed() -> Sequence[Kind]:
    hostile = ("metadata", "script", "twice", "nonsense", "headers", "circle")
    return (
        Kind("fast", "/wait/25/3", 10),
        Kind("repeated", "/wait/100/3", 3, repeats=True),
        Kind("slow", "/wait/700/3", 3, lands=False, max_wait=1.0),
        Kind("beacon", "/wait/50/3", 2, mode=pb.BEACON),
        Kind("flaky", "/wait/50/2", 3, country="gb"),
        Kind("broken", "/break/25/2", 2, lands=False),
        Kind("bystander", "/wait/25/2", 1, lands=False, mode=pb.REDIRECT_ONLY),
        *(Kind(f"hostile-{kind}", f"/hostile/{kind}", 0.4, lands=False) for kind in hostile),
    )


def _long() -> Sequence[Kind]:
    return tuple(Kind(f"chain-{4 * wait}ms", f"/wait/{wait}/3", 1, max_wait=45.0) for wait in (250, 1250, 2500, 5000))


@dataclass(frozen=True)
class Plan:
    """What a mode restarts, and how."""

    kinds: Sequence[Kind]
    rate: float
    rounds: int
    number: signal.Signals
    ips: int


PLANS = {
    "mixed": Plan(_mixed(), 25.0, 1, signal.SIGTERM, 200),
    "rolling": Plan(_long(), 100.0, 2, signal.SIGTERM, 2_000),
    "kill": Plan(_long(), 100.0, 2, signal.SIGKILL, 2_500),
}


@dataclass(frozen=True, slots=True)
class Click:
    """One click and its answer; `began` and `ended` are seconds by one monotonic clock."""

    kind: Kind
    gateway: str
    began: float
    ended: float
    answer: Answer


@dataclass
class Balancer:
    """Sends visitors to gateways that are ready, one after the other, as a load balancer does."""

    gateways: Sequence[Instance]
    ready: set[str] = field(default_factory=set)
    _turn: "itertools.count[int]" = field(default_factory=itertools.count)

    async def watch(self, gateway: Instance) -> None:
        """Asks a gateway again and again whether it is ready."""
        while True:
            try:
                async with asyncio.timeout(1):
                    status = await HttpOk(gateway.environment["GATEWAY_INTERNAL_LISTEN"], "/readyz").status()
            except OSError:  # A TimeoutError is one too.
                status = 0
            (self.ready.add if status == 200 else self.ready.discard)(gateway.name)
            await asyncio.sleep(_LOOK)

    async def click(self, kind: Kind, query: str) -> Click:
        """Clicks; a gateway that takes no connection is no longer ready, and another one is tried."""
        while True:
            gateway = self._next()
            began = time.monotonic()
            answer = await Visitors(gateway.port, keep=False).click(query, timeout=kind.max_wait + 30)
            if answer.status != REFUSED:
                return Click(kind, gateway.name, began, time.monotonic(), answer)
            self.ready.discard(gateway.name)
            await asyncio.sleep(_LOOK)

    def _next(self) -> Instance:
        candidates = [gateway for gateway in self.gateways if gateway.name in self.ready] or self.gateways
        return candidates[next(self._turn) % len(candidates)]


@dataclass
class Soak:
    """One run."""

    stack: Stack
    plan: Plan
    rate: float
    seconds: float
    restarted: int
    """How many instances of each service are restarted."""
    rounds: int
    clicks: list[Click] = field(default_factory=list)
    losses: list[tuple[float, float, str]] = field(default_factory=list)
    """From when until when which process was being ended by force."""
    in_flight: int = 0
    doing: str = "warming up"
    over: bool = False

    async def run(self) -> None:
        """Lets visitors click until the time is up and every process was restarted."""
        balancer = Balancer(self.stack.of("gateway"))
        async with _beside(*(balancer.watch(gateway) for gateway in balancer.gateways), self._tell()):
            restarts = asyncio.create_task(self._restart_all())
            async with asyncio.TaskGroup() as group:
                began, chance = time.monotonic(), random.Random(5)  # noqa: S311 - the same clicks in every run
                weights = [kind.share for kind in self.plan.kinds]
                for number in itertools.count():
                    await asyncio.sleep(max(0.0, began + number / self.rate - time.monotonic()))
                    if restarts.done() and time.monotonic() - began > self.seconds:
                        break
                    (kind,) = chance.choices(self.plan.kinds, weights)
                    group.create_task(self._visit(balancer, kind, number))
                await restarts
                self.doing = "waiting for the last answers"

    async def _visit(self, balancer: Balancer, kind: Kind, number: int) -> None:
        query = f"offer={kind.name}&gclid=soak-{number}&utm_source=a%20b"
        self.in_flight += 1
        clicks = [balancer.click(kind, query) for _ in range(2 if kind.repeats else 1)]
        self.clicks += await asyncio.gather(*clicks)
        self.in_flight -= 1

    async def _restart_all(self) -> None:
        instances = [one for service in SERVICES for one in self.stack.of(service)[: self.restarted]]
        pause = self.seconds / (self.rounds * len(instances) + 1)
        due = time.monotonic()
        for instance in instances * self.rounds:
            due += pause
            await asyncio.sleep(max(1.0, due - time.monotonic()))
            self.doing = f"{self.plan.number.name} to {instance.name}"
            began = time.monotonic()
            status = await instance.stop(self.plan.number)
            if self.plan.number is signal.SIGKILL:
                self.losses.append((began, time.monotonic() + _NOTICED, instance.name))
            if status not in (0, -signal.SIGKILL):
                raise RuntimeError(f"{instance.name} ended with {status}: see {instance.log}")
            self.doing = f"starting {instance.name}"
            await instance.start()
            self.doing = "all up"

    async def _tell(self) -> None:
        began = time.monotonic()
        while True:
            await asyncio.sleep(_TELL)
            wrong = sum(not click.kind.is_right(click.answer) for click in self.clicks)
            print(
                f"{time.monotonic() - began:6.0f} s  {len(self.clicks):7} answers  {self.in_flight:5} in flight"
                f"  {wrong:4} not as usual  {self.doing}",
                flush=True,
            )


@asynccontextmanager
async def _beside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs what never ends by itself beside the block."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def table(soak: Soak) -> None:
    """Prints what visitors got, by kind."""
    print(f"\n{'kind':20} {'clicks':>8} {'landed':>8} {'fallback':>9} {'empty':>7} {'broken':>7} {'p50':>8} {'p99':>8}")
    for kind in soak.plan.kinds:
        of_kind = [click for click in soak.clicks if click.kind is kind]
        if not of_kind:
            continue
        what = Counter(
            "broken"
            if click.answer.status == BROKEN
            else "empty"
            if click.answer.status == 204
            else "landed"
            if kind.has_landed(click.answer)
            else "fallback"
            for click in of_kind
        )
        seconds = [click.answer.seconds for click in of_kind]
        print(
            f"{kind.name:20} {len(of_kind):8} {what['landed']:8} {what['fallback']:9} {what['empty']:7}"
            f" {what['broken']:7} {quantile(seconds, 0.5):6.2f} s {quantile(seconds, 0.99):6.2f} s"
        )


def problems_of_answers(soak: Soak) -> list[str]:
    """Returns what is wrong with the answers: all but what a process that was killed may have taken with it."""
    problems = []
    for click in soak.clicks:
        if click.kind.is_right(click.answer):
            continue
        excused = [name for begin, end, name in soak.losses if click.began <= end and begin <= click.ended]
        lost_gateway = click.answer.status == BROKEN and click.gateway in excused
        lost_other = click.answer.status == 302 and any(not name.startswith("gateway") for name in excused)
        if not (lost_gateway or lost_other):
            problems.append(f"{click.kind.name} at {click.gateway} got {click.answer}")
    return problems


async def soak(
    postgres: EmbeddedPostgres, network: Network, logs: Path, options: argparse.Namespace, size: sizes.Soak
) -> bool:
    """Runs the soak, checks the books, and returns whether everything is as it must be."""
    plan = PLANS[options.mode]
    async with running(postgres, network, logs, Shape(2, 2, 2), SETTINGS) as stack:
        await stack.provision(plan.ips)
        if any(kind.country == "gb" for kind in plan.kinds):
            await stack.provision(200, country="gb", net=11)
            # Nobody listens there: each costs a click an attempt, until it has failed three times. They rest equally
            # long and so come together; more of them than attempts would rightly cost a click its landing.
            await stack.provision(2, country="gb", net=12, port=9)
        for kind in plan.kinds:
            wait = Duration(nanos=int(kind.max_wait % 1 * 1e9), seconds=int(kind.max_wait))
            path = f"{kind.path}?c={{click_id}}"
            await stack.offer(kind.name, path, max_wait=wait, country=kind.country, mode=kind.mode)
        rate, seconds = options.rate or size.rate or plan.rate, options.duration or size.seconds
        run = Soak(stack, plan, rate, seconds, size.restarted, size.rounds or plan.rounds)
        print(f"{run.rate:.0f} clicks/s for {run.seconds:.0f} s, {plan.number.name} {run.rounds} times round")
        await run.run()
        table(run)
        lost = sum(click.answer.status == BROKEN for click in run.clicks)
        answered = {click.answer.click_id: click.answer for click in run.clicks if click.answer.click_id}
        problems = problems_of_answers(run)
        problems += await books.check(stack, answered, cooldown=COOLDOWN, lost=lost, killed=bool(run.losses))
    print(f"\n{len(run.clicks)} clicks, {len(problems)} problems")
    for problem in problems[:40]:
        print(f"  {problem}")
    return not problems


def main() -> int:
    """Runs the soak; returns 1 if anything is off."""
    parser = command.parser("soak", __doc__)
    parser.add_argument("--mode", choices=PLANS, default="mixed")
    parser.add_argument(
        "--duration",
        type=float,
        help=f"seconds (default: {sizes.FULL.soak.seconds:.0f}); longer if the restarts take longer",
    )
    parser.add_argument("--rate", type=float, help="clicks a second")
    parser.add_argument("--logs", type=Path, help="where the processes leave their logs; nowhere if left out")
    options = parser.parse_args()
    command.quiet()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65_536), most))
    with (
        tempfile.TemporaryDirectory(prefix="clicktrace-soak-", ignore_cleanup_errors=True) as directory,
        EmbeddedPostgres(Path(directory) / "postgres") as postgres,
        Network() as network,
    ):
        logs = options.logs or Path(directory)
        logs.mkdir(exist_ok=True)
        return 0 if uvloop.run(soak(postgres, network, logs, options, command.sizes(options).soak)) else 1


if __name__ == "__main__":
    sys.exit(main())
