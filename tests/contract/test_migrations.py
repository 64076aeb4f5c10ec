"""A migration that landed never changes: databases that have it would refuse the new code, or differ from new ones."""

import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LANDED = ROOT / "services" / "migrations.sha256"


def test_what_landed_is_as_it_was() -> None:
    """The list is what `sha256sum` writes; each migration that lands is added to it, and its line stays."""
    listed = {path: digest for digest, _, path in (line.partition("  ") for line in LANDED.read_text().splitlines())}
    now = {
        str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((ROOT / "services").glob("*/db/migrations/*.sql"))
    }
    assert {path: now.get(path) for path in listed} == listed
    missing = sorted(now.keys() - listed.keys())
    assert not missing, f"add them: sha256sum {' '.join(missing)} >> services/migrations.sha256"
