"""pharox leases from a PostgreSQL for `make bench-pool`."""

import importlib.util
import json
import subprocess
import sys

import pytest

from local.postgres.server import EmbeddedPostgres
from tests.support.system import ROOT


def test_it_leases_and_releases(postgres: EmbeddedPostgres, empty_database: str) -> None:
    assert postgres.pid
    if importlib.util.find_spec("pharox") is None:
        pytest.skip("pharox is missing: make bootstrap-bench")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "bench.peers.pharox_leases", empty_database, "0.2"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pairs, failed = json.loads(done.stdout)
    assert pairs > 0
    assert 0 <= failed < 1
