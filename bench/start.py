"""`make bench-start`: from `make run` to the first answered click, in a new state directory and in a kept one.

A visitor clicks from the first moment on until he is sent somewhere. The phases are when their lines appear on the
terminal. Each state directory is started in several times, first new and then kept.
"""

import argparse
import asyncio
import os
import re
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp

from bench import command, sizes
from bench.measure.report import ROOT, Row, at_most
from local.ports import free_ports
from tests.support.system import PORTS, state_directory

_LIMIT = 2.5
_TIMEOUT = 60.0
_PAUSE = 0.01
_BOOTSTRAP, _ANSWER = "make and the check of .venv", "the first click is answered"
_PHASES = {
    "postgres": "PostgreSQL answers",
    "migrate": "both schemas are there",
    "tracer": "the tracer is ready",
    "pool_manager": "the pool manager is ready",
    "gateway": "the gateway is ready",
}
_STEP = re.compile(r"^ +\S+ (\w+)\b.*\d s\b")


async def measure(size: sizes.Start) -> Sequence[Row]:
    """Starts the system again and again and returns the medians."""
    new: list[Mapping[str, float]] = []
    kept: list[Mapping[str, float]] = []
    for _ in range(size.directories):
        with state_directory() as state:
            ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
            new.append(await _start(state, ports))
            kept += [await _start(state, ports) for _ in range(size.starts)]
    return [*_rows("new state", new), *_rows("kept state", kept)]


def _rows(title: str, starts: Sequence[Mapping[str, float]]) -> Iterator[Row]:
    for phase in (_BOOTSTRAP, *_PHASES.values(), _ANSWER):
        seconds = statistics.median(start[phase] for start in starts)
        name = f"{title}: {phase}"
        yield at_most(name, seconds, _LIMIT, "s") if phase == _ANSWER else Row(name, seconds, "s")


async def _start(state: Path, ports: Mapping[str, int]) -> Mapping[str, float]:
    """Starts the system once, and returns how many seconds after the beginning each phase was done."""
    began = time.monotonic()
    async with _make("bootstrap") as bootstrap:
        await bootstrap.wait()
    done = {_BOOTSTRAP: time.monotonic() - began}
    options = " ".join(f"--{name}-port {port}" for name, port in ports.items())
    began = time.monotonic()
    async with _make("run", f"ARGS=--state-dir {state} {options}") as run, asyncio.timeout(_TIMEOUT):
        reading = asyncio.create_task(_read(run, began, done))
        await _click(ports["http"])
        done[_ANSWER] = time.monotonic() - began
        os.killpg(run.pid, signal.SIGINT)
        await reading
    return done


@asynccontextmanager
async def _make(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        "make", *arguments,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        # As Ctrl-C would, for make does not pass it on.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        await process.wait()


async def _read(run: asyncio.subprocess.Process, began: float, done: dict[str, float]) -> None:
    assert run.stdout is not None
    async for line in run.stdout:
        if (step := _STEP.match(line.decode())) and (phase := _PHASES.get(step[1])):
            # Of two lines with one name, the later one counts.
            done[phase] = time.monotonic() - began


async def _click(port: int) -> None:
    """Clicks until the visitor is sent to a landing page; being sent elsewhere ends the measurement."""
    url = f"http://127.0.0.1:{port}/track-hit?offer=demo&gclid={time.time_ns()}"
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url, allow_redirects=False) as response:
                    location = response.headers.get("Location")
            except aiohttp.ClientConnectionError:
                location = None
            if location:
                break
            # Nobody listens yet, or the gateway does not have the offer yet.
            await asyncio.sleep(_PAUSE)
    if "exit_ip=" not in location:
        raise RuntimeError(f"the first click was sent to {location}, which is no landing page")


def run(_options: argparse.Namespace, size: sizes.Sizes) -> Sequence[Row]:
    """Measures with sizes."""
    return asyncio.run(measure(size.start))


def main() -> int:
    """Prints the report and writes it down; returns 1 if the limit was not kept."""
    return command.main("start", __doc__, run)


if __name__ == "__main__":
    sys.exit(main())
