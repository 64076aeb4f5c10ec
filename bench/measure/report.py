"""What a measurement says: lines with their limits, printed as a table and written down as JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_RESULTS = ROOT / "bench" / "results"


@dataclass(frozen=True)
class Row:
    """One line of a report; `passed` is None where there is no limit to keep."""

    name: str
    value: float
    unit: str = ""
    limit: str = ""
    passed: bool | None = None


def at_most(name: str, value: float, limit: float, unit: str = "") -> Row:
    """Returns a line whose value must not be larger than its limit."""
    return Row(name, value, unit, f"<= {limit:g}", value <= limit)


def at_least(name: str, value: float, limit: float, unit: str = "") -> Row:
    """Returns a line whose value must not be smaller than its limit."""
    return Row(name, value, unit, f">= {limit:g}", value >= limit)


def publish(name: str, rows: Iterable[Row]) -> bool:
    """Prints lines as they come, writes them to bench/results, and returns whether every limit was kept."""
    shown = []
    for row in rows:
        verdict = "" if row.passed is None else f"{row.limit:>8}  {'ok' if row.passed else 'MISSED'}"
        print(f"{row.name:62} {row.value:>12,.3f} {row.unit:10}{verdict}", flush=True)
        shown.append(row)
    _RESULTS.mkdir(exist_ok=True)
    (_RESULTS / f"{name}.json").write_text(json.dumps([asdict(row) for row in shown], indent=2), encoding="utf-8")
    return all(row.passed is not False for row in shown)
