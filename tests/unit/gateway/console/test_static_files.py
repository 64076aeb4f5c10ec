"""The files of others are as they were published."""

import hashlib
from pathlib import Path

from services.gateway.console import offers


def test_what_is_of_others_is_what_it_was() -> None:
    folder = Path(offers.__file__).parent / "static" / "vendor"
    listed = [line.split() for line in (folder / "SHA256SUMS").read_text().splitlines() if not line.startswith("#")]
    assert {name for _, name in listed} == {path.name for path in folder.iterdir()} - {"SHA256SUMS"}
    for digest, name in listed:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
