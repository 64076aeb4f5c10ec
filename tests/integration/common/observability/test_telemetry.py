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
from libs.common.observability import telemetry
from libs.common.process import logs, settings

async def main():
    owner = telemetry.setup("sample", settings.load(settings.ServiceSettings))
    with trace.get_tracer("t").start_as_current_span("work"):
        pass
    await owner.shutdown()

logs.setup("sample", "json")
print("up", flush=True)
asyncio.run(main())
"""


def run(program: str, *arguments: str, **environment: str) -> tuple[str, str]:
    """Runs a program to its end and returns its output and errors; hanging for longer than an exit may take is one."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=clean | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        # What it imports takes its time on a busy machine, and is no matter of this test.
        assert process.stdout.readline() == "up\n"
        try:
            output, errors = process.communicate(timeout=10)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    return output, errors


async def test_the_last_spans_arrive_under_the_name_of_the_service() -> None:
    with OtlpSink() as sink:
        run(PROGRAM, OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint)
        (span,) = await sink.wait_for("work")
        assert (span.service, span.name) == ("sample", "work")


@pytest.mark.parametrize("listening", [True, False], ids=["black hole", "refused"])
def test_a_collector_that_is_gone_holds_nothing_up(listening: bool) -> None:
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        if listening:
            hole.listen()
        # Without the bound this takes 13 s and more (measured).
        run(PROGRAM, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{hole.getsockname()[1]}")


def test_without_an_endpoint_nothing_is_set_up() -> None:
    assert run(PROGRAM) == ("", "")


COUNTING = """
import asyncio
import sys
from opentelemetry import trace
from libs.common.observability import telemetry
from libs.common.process import logs, settings

async def main():
    owner = telemetry.setup("sample", settings.load(settings.ServiceSettings))
    tracer = trace.get_tracer("t")
    for _ in range(int(sys.argv[1])):
        with tracer.start_as_current_span("work"):
            pass
    await owner.shutdown()
    print(int(telemetry.DROPPED._value.get()))

logs.setup("sample", "json")
print("up", flush=True)
asyncio.run(main())
"""


def dropped(spans: int, **environment: str) -> int:
    """Ends so many spans, and returns how many the process says are lost at its end."""
    output, _ = run(COUNTING, str(spans), **environment)
    return int(output)


@pytest.mark.parametrize("listening", [True, False], ids=["black hole", "refused"])
def test_spans_that_nobody_took_are_counted_and_nobody_waits_for_them(listening: bool) -> None:
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        if listening:
            hole.listen()
        endpoint = f"http://127.0.0.1:{hole.getsockname()[1]}"
        # More than the queue holds. Had one of the 5,000 waited for the exporter, the process would not have ended in
        # time.
        assert dropped(5_000, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_BSP_MAX_QUEUE_SIZE="1000") == 5_000


def test_what_arrived_is_not_counted() -> None:
    with OtlpSink() as sink:
        assert dropped(3_000, OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint) == 0
        assert len(sink.spans) == 3_000


@pytest.mark.parametrize(
    ("sampler", "argument", "least", "most"),
    [
        ("parentbased_traceidratio", "0", 0, 0),
        ("parentbased_traceidratio", "0.5", 350, 650),
        ("always_on", "", 1_000, 1_000),
    ],
)
def test_the_standard_variables_choose_what_is_sampled(sampler: str, argument: str, least: int, most: int) -> None:
    with OtlpSink() as sink:
        environment = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
        assert dropped(1_000, OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, **environment) == 0
        # 1,000 fair coins: a deviation like that has a chance of 1 in 10^20.
        assert least <= len(sink.spans) <= most


@pytest.mark.parametrize("name", ["OTEL_SDK_DISABLED=true", "OTEL_TRACES_EXPORTER=none"])
def test_tracing_is_switched_off_by_the_standard_variables(name: str) -> None:
    variable, _, value = name.partition("=")
    with OtlpSink() as sink:
        assert dropped(10, OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, **{variable: value}) == 0
        assert not sink.spans
