"""Spans leave the process at its end, and a collector that is gone does not hold up the exit."""

import os
import socket
import subprocess
import sys

import pytest

from tests.support.otlp import OtlpSink

PROGRAM = """
import asyncio
from opentelemetry import trace
from libs.common import logs, telemetry

async def main():
    owner = telemetry.setup("sample")
    with trace.get_tracer("t").start_as_current_span("work"):
        pass
    await owner.shutdown()

logs.setup("sample", "json")
asyncio.run(main())
"""


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the program to its end; a program that hangs for longer than an exit may take is an error."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], env=clean | environment, capture_output=True, text=True, check=True, timeout=10
    )


async def test_the_last_spans_arrive_under_the_name_of_the_service() -> None:
    with OtlpSink() as sink:
        run(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint)
        (span,) = await sink.wait_for("work")
        assert (span.service, span.name) == ("sample", "work")


@pytest.mark.parametrize("listening", [True, False], ids=["black hole", "refused"])
def test_a_collector_that_is_gone_holds_nothing_up(listening: bool) -> None:
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        if listening:
            hole.listen()
        # Without the bound this takes 13 s and more (measured).
        run(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{hole.getsockname()[1]}")


def test_without_an_endpoint_nothing_is_set_up() -> None:
    assert run().stderr == ""
