"""Reads files of proxies: CSV with a header, or a JSON array of objects."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from libs.common.errors import Violation, invalid_request
from libs.common.process.values import parse_seconds
from services.pool_manager.model.proxies import Protocol, ProxySpec

_NEEDED = ("ip_address", "ip_port", "country")
_COLUMNS = frozenset({*_NEEDED, "provider", "protocol", "cooldown"})


class Row(NamedTuple):
    """A row, and its place in the file."""

    place: str
    spec: ProxySpec


def read_rows(path: Path) -> Sequence[Row]:
    """Reads the rows of a `.csv` or `.json` file; lines of CSV that begin with `#` are comments.

    Raises INVALID_ARGUMENT/INVALID_REQUEST that names every row that cannot be read, and OSError.
    """
    text = path.read_text(encoding="utf-8-sig")
    rows = _json_rows(text) if path.suffix == ".json" else _csv_rows(text)
    violations: list[Violation] = []
    read = [Row(where, _row(violations, where, row)) for where, row in rows]
    if violations:
        raise invalid_request(violations)
    return read


def _csv_rows(text: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line and not line.startswith("#")]
    reader = csv.DictReader((line for _, line in lines), restkey="more", skipinitialspace=True)
    for (number, _), row in zip(lines[1:], reader, strict=False):
        # An empty cell is a value that was left out.
        yield f"line {number}", {name: value for name, value in row.items() if value}


def _json_rows(text: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise invalid_request([Violation("file", f"is no JSON: {error}")]) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise invalid_request([Violation("file", "is no JSON array of objects")])
    for number, row in enumerate(rows, 1):
        yield f"row {number}", {str(name): value for name, value in row.items() if value is not None}


def _row(violations: list[Violation], where: str, row: Mapping[str, object]) -> ProxySpec:
    violations.extend(Violation(where, f"has no {name}") for name in _NEEDED if name not in row)
    if unknown := row.keys() - _COLUMNS:
        violations.append(Violation(where, f"has unknown columns: {', '.join(sorted(unknown))}"))
    port = str(row.get("ip_port", "0"))
    if not (port.isascii() and port.isdecimal() and len(port) <= 5):
        violations.append(Violation(where, f"has the ip_port {port!r}, which is none"))
        port = "0"
    cooldown = None
    if "cooldown" in row:
        try:
            cooldown = parse_seconds(row["cooldown"])
        except ValueError as error:
            violations.append(Violation(where, f"has a cooldown that is none: {error}"))
    return ProxySpec(
        ip_address=str(row.get("ip_address", "")),
        ip_port=int(port),
        country=str(row.get("country", "")),
        provider=str(row.get("provider", "")),
        protocol=Protocol(str(row.get("protocol", "")).upper() or Protocol.HTTP),
        cooldown=cooldown,
    )
