"""`make bench-tracer`: what a trace of five requests costs, ours beside others, on the same chain and proxy in one run.

Each contender runs in a process of its own and is measured by the CPU time of that process alone; the chain runs in
another. Contenders take turns, and the best of their rounds counts, because whatever else runs on a machine can only
add. Take the numbers as ratios.
"""

import csv
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.walkers import AT_ONCE, PASSWORD, START, USER

ROUNDS = 5
TRACES = 2_000
PROGRAM_TRACES = 200
SLOW = (2_000, 5_000)


@dataclass(frozen=True)
class Limit:
    """A ratio that is promised."""

    ours: str
    other: str
    at_most: float


LIMITS = (Limit("engine", "bare", 3.0), Limit("engine", "aiohttp", 0.5), Limit("service", "aiohttp", 1.5))
MEMORY_LIMIT = 100.0
"""KiB for each slow walk."""

DESCRIPTIONS = {
    "bare": "a bare pycurl multi loop with select",
    "engine": "our walker and engine, on uvloop",
    "aiohttp": "the plainest walker of aiohttp, on uvloop",
    "service": "our gRPC service, six messages a trace",
}


def contender(name: str, port: int, count: int) -> float:
    """Runs one contender in a process of its own and returns what it measured."""
    command = [sys.executable, "-W", "ignore", "-m", "bench.walkers", name, str(port), str(count)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    return float(json.loads(done.stdout))


def program(command: Sequence[str], traces: int) -> tuple[float, float]:
    """Runs a program of others; returns milliseconds of CPU and of wall time per trace."""

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    began, began_wall = used(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return (used() - began) * 1000 / traces, (time.perf_counter() - began_wall) * 1000 / traces


def minet(port: int) -> tuple[float, float] | None:
    """Measures `minet resolve` over a file of URLs, its start included; None where it is not installed."""
    path = shutil.which("minet")
    if path is None:
        return None
    with tempfile.NamedTemporaryFile("w", suffix=".csv", delete=False) as urls:
        writer = csv.writer(urls)
        writer.writerow(["url"])
        writer.writerows([[f"{START}?n={number}"] for number in range(PROGRAM_TRACES)])
    try:
        command = [path, "resolve", "url", "-i", urls.name, "--throttle", "0", "--silent", "-t", str(AT_ONCE)]
        command += ["--domain-parallelism", str(AT_ONCE), "-x", f"http://{USER}:{PASSWORD}@127.0.0.1:{port}"]
        return program(command, PROGRAM_TRACES)
    finally:
        Path(urls.name).unlink()


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
    measured = [program(command, 1) for _ in range(PROGRAM_TRACES // 4)]
    return min(cpu for cpu, _ in measured), min(wall for _, wall in measured)


def report(port: int) -> bool:
    """Measures everything and prints it; returns whether every promise holds."""
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        for name in DESCRIPTIONS:
            measured = contender(name, port, TRACES) * 1000 / TRACES
            best[name] = min(measured, best.get(name, measured))
    print(f"CPU per trace of 5 requests, {AT_ONCE} at once, best of {ROUNDS} rounds of {TRACES}:")
    for name, description in DESCRIPTIONS.items():
        print(f"  {name:8} {best[name]:7.3f} ms  {description}")
    for name, measured_program in (("curl -L", curl(port)), ("minet", minet(port))):
        if measured_program is None:
            print(f"  {name:8} is not installed")
        else:
            print(f"  {name:8} {measured_program[0]:7.3f} ms  {measured_program[1]:.3f} ms of wall time, as a program")
    good = True
    print("Ratios:")
    for limit in LIMITS:
        ratio = best[limit.ours] / best[limit.other]
        good = good and ratio <= limit.at_most
        verdict = "" if ratio <= limit.at_most else "  MISSED"
        print(f"  {limit.ours} / {limit.other}: {ratio:.2f} (at most {limit.at_most}){verdict}")
    print("Slow walks at once:")
    for count in SLOW:
        held = contender("slow", port, count)
        good = good and (count != SLOW[0] or held <= MEMORY_LIMIT)
        print(f"  {count}: {held:.0f} KiB of memory each")
    return good


def main() -> None:
    """Starts the chain, measures, and exits with 1 if a promise is not kept."""
    with subprocess.Popen([sys.executable, "-m", "bench.chain"], stdout=subprocess.PIPE, text=True) as chain:
        assert chain.stdout is not None
        try:
            good = report(int(chain.stdout.readline()))
        finally:
            chain.terminate()
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
