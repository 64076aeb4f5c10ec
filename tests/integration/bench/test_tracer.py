"""`make bench-tracer` runs; minet is measured where it is installed (tests/peers/bench)."""

import pytest

from tests.support import smoke

pytestmark = pytest.mark.timeout(300)


def test_it_measures_traces_beside_others() -> None:
    measured = smoke.figures("tracer")
    for title in (
        "bare pycurl multi loop, no judgement",
        "engine and walk, on uvloop",
        "plainest aiohttp walker, on uvloop",
        "whole gRPC service, 6 messages a trace",
        "engine and walk, on uvloop, through tunnels",
        "whole gRPC service, 6 messages a trace, through tunnels",
    ):
        assert measured[title, "ms CPU"] > 0, title
    assert measured["one trace by our service, alone", "ms wall"] > 0
    assert ("memory per slow trace, 20 at once", "KiB") in measured
