"""A collector that takes nothing costs no click anything, and what it did not take is counted."""

import asyncio
import re
import socket
from collections.abc import Iterator

import aiohttp
import pytest

from tests.support.system import System, state_directory


@pytest.fixture
def hole() -> Iterator[str]:
    """Is a collector that accepts connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


async def test_clicks_are_served_spans_are_counted_and_the_stop_is_not_held_up(hole: str) -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": hole, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with state_directory() as state, System(state, ("--cooldown", "500ms", "--max-wait", "5s"), environment) as system:
        for number in range(10):
            assert "clickid" in (await system.click(f"offer=demo&gclid={number}")).params
        async with asyncio.timeout(30):
            while not await dropped(system):
                await asyncio.sleep(0.1)
        # The deadline is the subject: each service flushes for 2 s at most, and they stop one after the other.
        assert await asyncio.to_thread(system.stop, seconds=20) == 0


async def dropped(system: System) -> float:
    """Returns how many spans the gateway says are lost."""
    url = f"http://127.0.0.1:{system.ports['internal']}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        found = re.search(r"^clicktrace_spans_dropped_total (\S+)", await response.text(), re.MULTILINE)
    assert found
    return float(found[1])
