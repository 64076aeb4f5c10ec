"""The outside cases, where they are there: facts from the public test suites of curl, WPT, requests, undici, …"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[4] / "shared" / "cases"

Row = dict[str, Any]

needed = pytest.mark.skipif(not FOLDER.is_dir(), reason="the outside cases (../shared/cases) are not here")


@cache
def rows(name: str) -> tuple[Row, ...]:
    """Returns the rows of a file; none where the cases are not here."""
    path = FOLDER / f"{name}.jsonl"
    return tuple(json.loads(line) for line in path.read_text().splitlines()) if path.is_file() else ()


def params(name: str, *, kind: str = "") -> list[Any]:
    """Returns the rows of a file, of one kind if given, as parameters with their ids."""
    return [pytest.param(row, id=row["id"]) for row in rows(name) if not kind or row["kind"] == kind]


def location_bytes(row: Row) -> bytes:
    """Returns the value of Location as it is to go over the wire."""
    if row.get("location_bytes_hex"):
        return bytes.fromhex(row["location_bytes_hex"])
    return str(row["location_or_html"]).encode()
