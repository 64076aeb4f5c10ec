"""The tracer, the pool manager and PostgreSQL frozen, killed and back: every visitor is answered in time, every lease
comes back, every click is on record, and nobody has to mend anything.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from clicktrace.gateway.v1 import gateway_pb2 as pb
from libs.common.rpc import times
from local.ports import free_ports
from tests.integration.pool_manager.own_postgres import OwnPostgres, own_postgres
from tests.support.lab import Lab, open_lab
from tests.support.processes import (
    Gateway,
    ServiceProcess,
    local_target,
    start_gateway,
    start_pool_manager,
    start_tracer,
)
from tests.support.system import Answer, Clickable, System, state_directory

pytestmark = [pytest.mark.xdist_group("quick system"), pytest.mark.chaos, pytest.mark.timeout(240)]

MAX_WAIT = 1.0
IN_TIME = MAX_WAIT + 2.0
"""What no visitor may wait longer than on a machine that has other things to do; the bench measures how exact it is."""


async def click_until(gateway: Clickable, offer: str, wanted: Callable[[Answer], bool]) -> Answer:
    """Clicks, each time as another visitor, until an answer is as wanted; all others are fallbacks in time."""
    async with asyncio.timeout(60):
        number = 0
        while not wanted(answer := await gateway.click(f"offer={offer}&gclid=again-{number}")):
            assert answer.status == 302
            assert answer.seconds < IN_TIME
            number += 1
            await asyncio.sleep(0.05)
    return answer


def landed(answer: Answer) -> bool:
    return "clickid=1" in answer.location


async def all_fall_back(gateway: Clickable, lab: Lab, offer: str, name: str) -> Sequence[Answer]:
    """Clicks five times at once, and checks that all get the fallback in time."""
    answers = await asyncio.gather(*(gateway.click(f"offer={offer}&gclid={name}-{number}") for number in range(5)))
    for number, answer in enumerate(answers):
        assert (answer.status, answer.location) == (302, f"{lab.url('/start')}?gclid={name}-{number}")
        assert answer.seconds < IN_TIME
    return answers


Restart = Callable[[], Awaitable[ServiceProcess]]


@asynccontextmanager
async def with_own(quick: System, part: str) -> AsyncIterator[tuple[Gateway, ServiceProcess, Restart]]:
    """Runs a gateway with a tracer or a pool manager of its own, and gives these, and how the part is started anew."""
    (port,) = free_ports(1)

    async def start() -> ServiceProcess:
        started = await (start_tracer(port) if part == "tracer" else start_pool_manager(quick, port))
        stack.push_async_callback(started.stop, signal.SIGKILL)
        return started

    async with AsyncExitStack() as stack:
        process = await start()
        gateway = await start_gateway(quick, {f"{part}_target": local_target(port), "lease_ttl": "3s"})
        stack.push_async_callback(gateway.service.stop, signal.SIGKILL)
        yield gateway, process, start


@pytest.mark.parametrize("part", ["tracer", "pool"])
async def test_a_part_that_is_frozen_costs_no_visitor_more_than_max_wait_and_all_is_well_when_it_goes_on(
    quick: System, lab: Lab, part: str
) -> None:
    await lab.add_proxies(10)
    offer = await lab.offer(max_wait=MAX_WAIT)
    lab.chain("clickid=1")
    async with with_own(quick, part) as (gateway, process, _):
        await click_until(gateway, offer, landed)
        process.send(signal.SIGSTOP)
        answers = await all_fall_back(gateway, lab, offer, "frozen")
        process.send(signal.SIGCONT)
        await click_until(gateway, offer, landed)
        for answer in answers:
            click = await gateway.ended(answer.click_id)
            assert (click.answer, click.reason) == (pb.FALLBACK, "MAX_WAIT")
            assert times.to_seconds(click.visitor_wait) >= MAX_WAIT
        await lab.until_available(10)
        assert not await lab.leases()


@pytest.mark.parametrize("part", ["tracer", "pool"])
async def test_a_part_that_is_killed_is_done_without_and_used_again_when_it_is_back(
    quick: System, lab: Lab, part: str
) -> None:
    await lab.add_proxies(10)
    offer, patient = await lab.offer(max_wait=MAX_WAIT), await lab.offer("patient")
    lab.chain("", "clickid=1", gate="/1")
    async with with_own(quick, part) as (gateway, process, start):
        under_way = asyncio.create_task(gateway.click(f"offer={patient}&gclid=under-way"))
        await lab.walked("/1")
        await process.stop(signal.SIGKILL)
        lab.gates["/1"].set()
        # A trace that was under way is lost with its tracer, and goes on without a pool manager.
        assert landed(await under_way) == (part == "pool")
        answers = await all_fall_back(gateway, lab, offer, "gone")
        reasons = {(await gateway.ended(answer.click_id)).reason for answer in answers}
        assert reasons <= {f"{part.upper()}_UNAVAILABLE", "MAX_WAIT"}
        await start()
        await click_until(gateway, offer, landed)
        await lab.until_available(10)
        assert not await lab.leases()
        # No second walk was begun for the click that lost its tracer.
        assert len((await gateway.ended((await under_way).click_id)).attempts) == 1


@asynccontextmanager
async def on_own_postgres() -> AsyncIterator[tuple[System, OwnPostgres]]:
    """Runs a system on a PostgreSQL that the test may stop and freeze."""
    async with own_postgres() as postgres:
        with state_directory() as state:
            system = System(
                state,
                ("--proxies", "1", "--cooldown", "1s"),
                {"DATABASE_URL": postgres.url},
            )
            await asyncio.to_thread(system.start)
            try:
                yield system, postgres
            finally:
                await asyncio.to_thread(system.stop)


@pytest.mark.parametrize(("stop", "start"), [("stop", "start"), ("freeze", "thaw")])
async def test_without_postgresql_clicks_are_redirected_and_all_are_on_record_when_it_is_back(
    stop: str, start: str
) -> None:
    async with on_own_postgres() as (system, postgres), open_lab(system) as lab:
        await lab.add_proxies(10)
        offer, patient = await lab.offer(max_wait=MAX_WAIT), await lab.offer("patient")
        lab.chain("", "clickid=1", gate="/1")
        under_way = asyncio.create_task(system.click(f"offer={patient}&gclid=under-way"))
        await lab.walked("/1")
        await getattr(postgres, stop)()
        # The trace that runs needs no database to end.
        lab.gates["/1"].set()
        answers = [await under_way, *await all_fall_back(system, lab, offer, "gone")]
        assert landed(answers[0])
        assert (await system.click("offer=unknown")).status == 404
        await getattr(postgres, start)()
        for answer in answers:
            click = await system.recorded_when(answer.click_id, lambda click: click.HasField("end_time"), seconds=60)
            assert click.location == answer.location
        await click_until(system, offer, landed)
        await lab.until_available(10)
        assert not await lab.leases()
