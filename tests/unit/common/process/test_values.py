"""Values of settings are read as people write them, and written as they are read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.process.values import Address, is_loopback, parse_seconds, show_seconds


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("60", 60), ("250ms", 0.25), ("1.5s", 1.5), ("2m", 120), ("1h", 3600), ("1d", 86400), (3, 3)],
)
def test_spans_of_time(written: object, seconds: float) -> None:
    assert parse_seconds(written) == seconds


@pytest.mark.parametrize("written", ["", "-1", "1 week", "nan", "inf", "1e9", True, "s"])
def test_what_is_no_span_of_time(written: object) -> None:
    with pytest.raises(ValueError, match="span of time"):
        parse_seconds(written)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (0.25, "250ms"), (1.5, "1500ms"), (60, "1m"), (65, "65s"), (5400, "90m"), (86_400 * 30, "30d")],
)
def test_a_span_is_shown_in_its_largest_unit(seconds: float, shown: str) -> None:
    assert show_seconds(seconds) == shown


@given(st.integers(0, 10**9).map(lambda ms: ms / 1000))
def test_what_is_shown_is_read_back(seconds: float) -> None:
    assert parse_seconds(show_seconds(seconds)) == pytest.approx(seconds, rel=1e-9)


@pytest.mark.parametrize("written", ["host", "host:", "host:port", "127.0.0.1:65536", "127.0.0.1:-1", ""])
def test_what_is_no_address(written: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        Address.parse(written)


@pytest.mark.parametrize(
    ("written", "shown", "loopback"),
    [
        ("127.0.0.1:1", "127.0.0.1:1", True),
        ("[::1]:1", "[::1]:1", True),
        ("localhost:1", "localhost:1", True),
        (":1", "0.0.0.0:1", False),
        ("host:1", "host:1", False),
    ],
)
def test_addresses(written: str, shown: str, loopback: bool) -> None:
    address = Address.parse(written)
    assert (str(address), address.is_loopback, is_loopback(address.host)) == (shown, loopback, loopback)
