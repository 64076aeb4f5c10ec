"""Reports of measurements: lines with limits, printed as a table and stored as JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_RESULTS = ROOT / "bench" / "results"


@dataclass(frozen=True)
class Row:
    """One line of a report: a value in `unit` (empty for a ratio); `passed` is None where there is no limit to keep.

    Revisions are compared by names and units (bench/compare/figures.py): who changes one ends its history.
    """

    name: str
    value: float
    unit: str = ""
    limit: str = ""
    passed: bool | None = None


def at_most(name: str, value: float, limit: float, unit: str = "") -> Row:
    """Returns a line whose value must not be larger than its limit; both are in `unit`, or a ratio."""
    return Row(name, value, unit, f"<= {limit:g}", value <= limit)


def at_least(name: str, value: float, limit: float, unit: str = "") -> Row:
    """Returns a line whose value must not be smaller than its limit; both are in `unit`, or a ratio."""
    return Row(name, value, unit, f">= {limit:g}", value >= limit)


def publish(name: str, rows: Iterable[Row], *, smoke: bool = False) -> bool:
    """Prints lines as they come, writes them to bench/results, and returns whether every limit was kept.

    The figures of a smoke run are held to no limit, and are kept apart.
    """
    shown = []
    for row in rows:
        line = replace(row, limit="", passed=None) if smoke else row
        verdict = "" if line.passed is None else f"{line.limit:>8}  {'ok' if line.passed else 'MISSED'}"
        print(f"{line.name:62} {line.value:>12,.3f} {line.unit:10}{verdict}", flush=True)
        shown.append(line)
    _RESULTS.mkdir(exist_ok=True)
    path = _RESULTS / f"{name}{'-smoke' if smoke else ''}.json"
    path.write_text(json.dumps([asdict(row) for row in shown], indent=2), encoding="utf-8")
    return all(row.passed is not False for row in shown)
