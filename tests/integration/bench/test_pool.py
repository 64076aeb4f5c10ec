"""`make bench-pool` runs; pharox is measured where it is installed (tests/peers/bench)."""

import pytest

from tests.support import smoke

pytestmark = pytest.mark.timeout(300)


def test_it_measures_leases_beside_others() -> None:
    measured = smoke.figures("pool")
    assert all(value > 0 for (title, _), value in measured.items() if "failed" not in title), measured
    assert {title for title, _ in measured} >= {
        "empty unary calls",
        "Lease and Release, unary, share of the empty call's rate",
        "p99 of Lease at half load",
        "one transaction per lease, the same records",
        "BatchLease and BatchRelease of 32, times a bare UPDATE",
        "the same with a million IPs, a thousand to a million",
        "grants at saturation, share of what the IPs can give",
    }
