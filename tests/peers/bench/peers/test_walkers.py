"""minet walks the chain for `make bench-tracer`."""

import importlib.util

import pytest

from bench.tracer import chain, contender


def test_minet_walks_to_the_landing() -> None:
    if importlib.util.find_spec("minet") is None:
        pytest.skip("minet is missing: make bootstrap-bench")
    with chain() as port:
        assert contender("minet", port, 20, 1) > 0
