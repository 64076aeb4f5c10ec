"""One running system for all acceptance tests that can share it, and the collector that it reports to."""

from collections.abc import Iterator

import pytest

from tests.support.otlp import OtlpSink
from tests.support.system import System, state_directory

MAX_WAIT = 2.0
COOLDOWN = 4.0


@pytest.fixture(scope="session")
def sink() -> Iterator[OtlpSink]:
    """Collects the spans of the shared system."""
    with OtlpSink() as sink:
        yield sink


@pytest.fixture(scope="session")
def system(sink: OtlpSink) -> Iterator[System]:
    """Runs the system with short times, so that a test sees a cooldown end."""
    options = ("--cooldown", f"{COOLDOWN}s", "--max-wait", f"{MAX_WAIT}s")
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with state_directory() as state, System(state, options, environment) as system:
        yield system
