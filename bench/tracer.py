"""`make bench-tracer`: what a trace of five requests costs, ours beside others, on the same chain and proxy in one run.

Each contender runs in a process of its own and is measured by the CPU time of that process alone; the chain runs in
another. Contenders take turns, and the best of their batches counts, because whatever else runs on a machine can only
add. Take the numbers as ratios. Prints a table and writes bench/results/tracer.json.
"""

import argparse
import importlib.util
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench import command, sizes
from bench.measure.report import ROOT, Row
from bench.peers.walkers import AT_ONCE, PASSWORD, REDIRECTS, START, USER


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


def contender(name: str, port: int, count: int, batches: int) -> float:
    """Runs one contender in a process of its own and returns the CPU seconds that it measured."""
    words = [sys.executable, "-W", "ignore", "-m", "bench.peers.walkers", name, str(port), str(count), str(batches)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    return float(json.loads(done.stdout))


def program(words: Sequence[str]) -> tuple[float, float]:
    """Runs a program of others; returns the milliseconds of CPU and of wall time that it took."""

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    began, began_wall = used(), time.perf_counter()
    subprocess.run(words, check=True, capture_output=True)
    return (used() - began) * 1000, (time.perf_counter() - began_wall) * 1000


def curl(port: int, traces: int) -> tuple[float, float] | None:
    """Measures `curl -L`, one process per trace as it is used; None where it is not installed."""
    path = shutil.which("curl")
    if path is None:
        return None
    words = [
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
    measured = [program(words) for _ in range(traces)]
    return min(cpu for cpu, _ in measured), min(wall for _, wall in measured)


def measure(port: int, size: sizes.Tracer) -> Iterator[Row]:
    """Measures everything but tunnels."""
    names = [name for name in DESCRIPTIONS if name != "minet" or importlib.util.find_spec("minet")]
    if "minet" not in names:
        print("minet is not installed and not measured: make bootstrap-bench")
    best: dict[str, float] = {}
    for _ in range(size.rounds):
        for name in names:
            measured = contender(name, port, size.traces, size.batches) * 1000 / size.traces
            best[name] = min(measured, best.get(name, measured))
    for name in names:
        yield Row(DESCRIPTIONS[name], best[name], "ms CPU")
    for limit in LIMITS:
        ratio = best[limit.ours] / best[limit.other]
        yield Row(
            f"{limit.ours} / {limit.other}", ratio, "times", f"at most {limit.at_most}", passed=ratio <= limit.at_most
        )
    used = curl(port, size.program_traces)
    if used is None:
        print("curl is not installed and not measured")
    else:
        yield Row("curl -L, a process for each trace", used[0], "ms CPU")
        yield Row("curl -L, a process for each trace", used[1], "ms wall")
    yield Row("one trace by our service, alone", contender("alone", port, size.traces, size.batches) * 1000, "ms wall")
    for count in size.slow:
        held = contender("slow", port, count, size.batches) / 1024
        limited = count == size.slow[0]
        yield Row(
            f"memory per slow trace, {count} at once",
            held,
            "KiB",
            f"at most {MEMORY_LIMIT:.0f}" if limited else "",
            passed=held <= MEMORY_LIMIT if limited else None,
        )


def measure_tunnels(port: int, size: sizes.Tracer) -> Iterator[Row]:
    """Measures what tunnels cost, in a chain whose every hop is on another host: a connection and a CONNECT each."""
    for name in ("engine", "service"):
        least = min(contender(name, port, size.traces, size.batches) for _ in range(size.rounds))
        yield Row(f"{DESCRIPTIONS[name]}, through tunnels", least * 1000 / size.traces, "ms CPU")


@contextmanager
def chain(*options: str) -> Iterator[int]:
    """Runs the chain behind its proxy, and yields its port."""
    words = [sys.executable, "-m", "bench.world.chain", *options]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise AssertionError("stdout is a pipe")
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def run(_options: argparse.Namespace, size: sizes.Sizes) -> Iterator[Row]:
    """Runs the chain, plain and behind tunnels, and measures traces of it."""
    print(f"A trace of {REDIRECTS + 1} requests through a forward proxy, {AT_ONCE} at once; the best batch counts.")
    with chain() as port, chain("--tunnels") as tunnelling_port:
        yield from measure(port, size.tracer)
        yield from measure_tunnels(tunnelling_port, size.tracer)


def main() -> int:
    """Prints what was measured and writes it down; returns 1 if a promise is not kept."""
    return command.main("tracer", __doc__, run)


if __name__ == "__main__":
    sys.exit(main())
