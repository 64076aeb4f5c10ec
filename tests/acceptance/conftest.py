"""One running system for all acceptance tests that can share it, and the collector that it reports to."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.lab import Lab, open_lab
from tests.support.otlp import OtlpSink
from tests.support.system import WITHOUT_SHARES, System, state_directory

MAX_WAIT = 2.0
# Longer than any visitor waits: who finds no IP is told so at once.
COOLDOWN = 60.0


@pytest.fixture(scope="session")
def sink() -> Iterator[OtlpSink]:
    """Collects the spans of the shared system."""
    with OtlpSink() as sink:
        yield sink


@pytest.fixture(scope="session")
def system(sink: OtlpSink) -> Iterator[System]:
    """Runs the system with a short wait, so that a test sees it end."""
    options = ("--cooldown", f"{COOLDOWN}s", "--max-wait", f"{MAX_WAIT}s")
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100", **WITHOUT_SHARES}
    with state_directory() as state, System(state, options, environment) as system:
        # Whoever clicks on this offer is to land, however busy the machine is.
        system.give_visitors_of("demo", seconds=30)
        yield system


@pytest.fixture(scope="session")
def quick() -> Iterator[System]:
    """Runs a system for tests that bring their own chains and proxies: nobody has to wait for another's cooldown."""
    environment = {"GATEWAY_WEBHOOK_SECRET": "webhook-secret", "GATEWAY_WEBHOOK_PAUSE": "50ms"}
    options = ("--proxies", "1", "--cooldown", "500ms", "--max-wait", "10s")
    with state_directory() as state, System(state, options, environment) as system:
        yield system


@pytest.fixture
async def lab(quick: System) -> AsyncIterator[Lab]:
    """Gives a test its own country and its own offer network in the quick system."""
    async with open_lab(quick) as made:
        yield made
