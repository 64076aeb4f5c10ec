"""Smoke runs of the benchmarks: the whole of each, so small that it takes seconds."""

import json
import math
import subprocess
import sys
from collections.abc import Mapping

from bench.compare.figures import by_name
from bench.measure.report import Row
from tests.support.system import ROOT


def output(bench: str, *arguments: str) -> str:
    """Runs a benchmark and returns what it prints; AssertionError with that if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{bench}", "--smoke", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def figures(bench: str, *arguments: str) -> Mapping[tuple[str, str], float]:
    """Runs a benchmark and returns what it has written down, by title and unit; all of it is numbers."""
    results = ROOT / "bench" / "results" / f"{bench}-smoke.json"
    results.unlink(missing_ok=True)
    assert "migrate.done" not in output(bench, *arguments), "what the system logs has no place in the table"
    rows = [Row(**line) for line in json.loads(results.read_text(encoding="utf-8"))]
    measured = by_name(rows)
    assert len(measured) == len(rows)
    assert all(math.isfinite(value) for value in measured.values()), measured
    return {(title, unit): value for (title, unit), value in measured.items()}
