"""Runs one benchmark of two checkouts in turns, and reads what each run wrote down.

Revisions know each other by two things that do not change: `python -m bench.NAME` in `.venv`, and the lines of
bench/results/NAME.json. The code of a bench is always its own revision's.
"""

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.compare import CompareError
from bench.compare.checkout import environment
from bench.compare.figures import Name, by_name
from bench.measure.report import Row

_LINES_TOLD = 12


@dataclass(frozen=True)
class Side:
    """One of the two revisions and what its runs measured."""

    name: str
    directory: Path
    runs: list[Mapping[Name, float]] = field(default_factory=list)

    def run(self, bench: str, arguments: Sequence[str]) -> None:
        """Runs its benchmark once; CompareError if that leaves no results.

        A benchmark that misses a limit fails, and has measured all the same.
        """
        results = self.directory / "bench" / "results" / f"{bench}.json"
        results.unlink(missing_ok=True)
        command = [str(self.directory / ".venv" / "bin" / "python"), "-m", f"bench.{bench}", *arguments]
        done = subprocess.run(
            command,
            cwd=self.directory,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if not results.exists():
            told = "\n".join(done.stdout.splitlines()[-_LINES_TOLD:])
            words = " ".join(["bench", bench, *arguments])
            raise CompareError(f"{words!r} of {self.name} ended with {done.returncode} and left no results:\n{told}")
        self.runs.append(by_name(_read(results)))


def take(
    baseline: Side,
    present: Side,
    bench: str,
    arguments: Sequence[str],
    *,
    turns: int,
    say: Callable[[str], None],
    after_first: Callable[[], None],
) -> None:
    """Runs both sides `turns` times; `after_first` is called after the first turn.

    Who goes first changes with each turn, so that a machine that grows slower or faster favours neither.
    """
    began = time.monotonic()
    for turn in range(1, turns + 1):
        for side in (baseline, present) if turn % 2 else (present, baseline):
            started = time.monotonic()
            side.run(bench, arguments)
            done = len(baseline.runs) + len(present.runs)
            left = (time.monotonic() - began) / done * (2 * turns - done)
            say(
                f"turn {turn} of {turns}: {side.name} took {time.monotonic() - started:.0f} s, {left / 60:.0f} min left"
            )
        if turn == 1:
            after_first()


def _read(results: Path) -> list[Row]:
    """Reads the lines of a report, of whatever else later revisions write into it."""
    return [
        Row(line["name"], float(line["value"]), line.get("unit", ""))
        for line in json.loads(results.read_text(encoding="utf-8"))
    ]
