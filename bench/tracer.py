"""`make bench-tracer`: what a trace of five requests costs, ours beside others, on the same chain and proxy in one run.

Each contender runs in a process of its own and is measured by the CPU time of that process alone; the chain runs in
another. Contenders take turns, and the best of their batches counts, because whatever else runs on a machine can only
add. Take the numbers as ratios. Prints a table and writes bench/results/tracer.json.
"""

import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench.measure.report import ROOT, Row, publish
from bench.peers.walkers import AT_ONCE, PASSWORD, REDIRECTS, START, USER

ROUNDS = 3
TRACES = 100
"""In one batch; see `bench.peers.walkers`."""
PROGRAM_TRACES = 50
SLOW = (2_000, 5_000)


@dataclass(frozen=True)
class Limit:
    """A ratio that is promised."""

    ours: str
    other: str
    at_most: float


LIMITS = (Limit("engine", "bare", 3.0), Limit("engine", "aiohttp", 0.5), Limit("service", "aiohttp", 1.5))
MEMORY_LIMIT = 100.0
"""KiB for each of the fewer slow traces."""

DESCRIPTIONS = {
    "bare": "bare pycurl multi loop, no judgement",
    "engine": "engine and walk, on uvloop",
    "aiohttp": "plainest aiohttp walker, on uvloop",
    "service": "whole gRPC service, 6 messages a trace",
    "minet": "minet's resolver, 20 threads",
}


def contender(name: str, port: int, count: int) -> float:
    """Runs one contender in a process of its own and returns what it measured."""
    command = [sys.executable, "-W", "ignore", "-m", "bench.peers.walkers", name, str(port), str(count)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    return float(json.loads(done.stdout))


def program(command: Sequence[str]) -> tuple[float, float]:
    """Runs a program of others; returns the milliseconds of CPU and of wall time that it took."""

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    began, began_wall = used(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return (used() - began) * 1000, (time.perf_counter() - began_wall) * 1000


def curl(port: int) -> tuple[float, float] | None:
    """Measures `curl -L`, one process per trace as it is used; None where it is not installed."""
    path = shutil.which("curl")
    if path is None:
        return None
    command = [
        path,
        "-sSL",
        "-o",
        "/dev/null",
        "-c",
        "/dev/null",
        "-x",
        f"http://{USER}:{PASSWORD}@127.0.0.1:{port}",
        START,
    ]
    measured = [program(command) for _ in range(PROGRAM_TRACES)]
    return min(cpu for cpu, _ in measured), min(wall for _, wall in measured)


def measure(port: int) -> Iterator[Row]:
    """Measures everything."""
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        for name in DESCRIPTIONS:
            measured = contender(name, port, TRACES) * 1000 / TRACES
            best[name] = min(measured, best.get(name, measured))
    for name, description in DESCRIPTIONS.items():
        yield Row(description, best[name], "ms CPU")
    for limit in LIMITS:
        ratio = best[limit.ours] / best[limit.other]
        yield Row(
            f"{limit.ours} / {limit.other}", ratio, "times", f"at most {limit.at_most}", passed=ratio <= limit.at_most
        )
    used = curl(port)
    if used is None:
        print("curl is not installed and not measured")
    else:
        yield Row("curl -L, a process for each trace", used[0], "ms CPU")
        yield Row("curl -L, a process for each trace", used[1], "ms wall")
    yield Row("one trace by our service, alone", contender("alone", port, TRACES) * 1000, "ms wall")
    for count in SLOW:
        held = contender("slow", port, count) / 1024
        limited = count == SLOW[0]
        yield Row(
            f"memory per slow trace, {count} at once",
            held,
            "KiB",
            f"at most {MEMORY_LIMIT:.0f}" if limited else "",
            passed=held <= MEMORY_LIMIT if limited else None,
        )


def measure_tunnels(port: int) -> Iterator[Row]:
    """Measures what tunnels cost, in a chain whose every hop is on another host: a connection and a CONNECT each."""
    for name in ("engine", "service"):
        least = min(contender(name, port, TRACES) for _ in range(ROUNDS))
        yield Row(f"{DESCRIPTIONS[name]}, through tunnels", least * 1000 / TRACES, "ms CPU")


@contextmanager
def chain(*options: str) -> Iterator[int]:
    """Runs the chain behind its proxy, and yields its port."""
    command = [sys.executable, "-m", "bench.world.chain", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise AssertionError("stdout is a pipe")
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def main() -> None:
    """Prints what was measured, writes it down, and exits with 1 if a promise is not kept."""
    print(f"A trace of {REDIRECTS + 1} requests through a forward proxy, {AT_ONCE} at once; the best batch counts.")
    with chain() as port, chain("--tunnels") as tunnelling_port:
        rows = (measure(port), measure_tunnels(tunnelling_port))
        kept = publish("tracer", (row for part in rows for row in part))
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
