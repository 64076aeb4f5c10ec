"""Proves that a request is checked as a whole, that limits are where the contract puts them, and that tokens survive
their text form and nothing else does.
"""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import ClicktraceError, Code
from services.pool_manager import validation
from services.pool_manager.model.leases import LeaseToken, Outcome, ReleaseRequest

NONCE = "0123456789abcdef0123456789abcdef"
TOKEN = LeaseToken(7, 42, NONCE)


def lease(**changes: Any) -> Any:
    values = {"request_id": "a", "country": "", "offer": "", "holder": "", "ttl": None, "wait": None}
    return validation.lease_request(**(values | changes))


def release(**changes: Any) -> Any:
    values: dict[str, Any] = {
        "lease_id": str(TOKEN), "fence": 42, "outcome": "SUCCESS", "failure_reason": "", "trace_time": None, "size": 0,
    }  # fmt: skip
    return validation.release_request(**(values | changes))


def violations(call: Callable[..., Any], *args: Any, **values: Any) -> list[str]:
    with pytest.raises(ClicktraceError) as caught:
        call(*args, **values)
    assert (caught.value.code, caught.value.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST")
    return [violation.field for violation in caught.value.violations]


def test_what_is_left_out_has_a_default() -> None:
    request = lease()
    assert (request.ttl, request.wait, request.country) == (30.0, 0.0, "")


def test_countries_are_read_in_any_case() -> None:
    assert [lease(country=country).country for country in ("US", "us", "Us", "uS")] == ["us"] * 4


@pytest.mark.parametrize("country", ["u", "usa", "zz", "uk", "EU", "xx", "u\0", "ü1", "  ", "us ", "ＵＳ", "ſ1"])
def test_what_is_no_country_is_refused(country: str) -> None:
    assert violations(lease, country=country) == ["country"]


@pytest.mark.parametrize(("field", "low", "high"), [("ttl", 1.0, 600.0), ("wait", 0.0, 60.0)])
def test_spans_have_limits(field: str, low: float, high: float) -> None:
    for value in (low, high):
        assert getattr(lease(**{field: value}), field) == value
    for value in (low - 0.001, high + 0.001, -1e15, 1e15, float("inf"), float("nan")):
        assert violations(lease, **{field: value}) == [field]


@pytest.mark.parametrize("text", ["\0", "a\nb", "\x7f", "\x85", "\u2028", "'", '"', "`", "\\", "x" * 129])
def test_names_hold_nothing_that_could_end_a_line_or_a_literal(text: str) -> None:
    assert violations(lease, request_id=text, offer=text, holder=text) == ["request_id", "offer", "holder"]
    assert violations(release, failure_reason=text) == ["failure_reason"]


def test_names_may_be_of_any_script() -> None:
    assert lease(request_id="щелчок-点击-🖱" * 8, offer="summer sale").offer == "summer sale"


def test_all_violations_are_reported_at_once() -> None:
    assert violations(lease, request_id="", country="zz", offer="'", holder="'", ttl=0.0, wait=-1.0) == [
        "request_id", "country", "offer", "holder", "ttl", "wait",
    ]  # fmt: skip
    assert violations(release, lease_id="", fence=-1, outcome="", failure_reason="'", trace_time=-1.0, size=-1) == [
        "lease_id", "fence", "outcome", "failure_reason", "trace_time", "bytes",
    ]  # fmt: skip


def test_a_release_carries_what_was_said() -> None:
    request = release(outcome="PROXY_FAILURE", failure_reason="CONNECT_REFUSED", trace_time=1.5, size=7)
    assert request == ReleaseRequest(TOKEN, Outcome.PROXY_FAILURE, "CONNECT_REFUSED", 1.5, 7)


def test_a_fence_that_is_not_the_tokens_belongs_to_another() -> None:
    with pytest.raises(ClicktraceError) as caught:
        validation.heartbeat_request(str(TOKEN), 41, None)
    assert caught.value.reason == "LEASE_LOST"


@pytest.mark.parametrize("size", [0, 1001])
def test_a_batch_has_limits(size: int) -> None:
    assert violations(validation.batch_size, size) == ["requests"]


@given(st.integers(1, 2**63 - 1), st.integers(1, 2**63 - 1), st.text("0123456789abcdef", min_size=32, max_size=32))
def test_a_token_survives_its_text_form(proxy_id: int, fence: int, nonce: str) -> None:
    token = LeaseToken(proxy_id, fence, nonce)
    assert LeaseToken.parse(str(token)) == token


@given(st.text(max_size=60) | st.from_regex(r"[0-9+_ ]{1,21}\.[0-9+_ ]{1,21}\.[0-9a-fA-F]{31,33}"))
def test_a_text_is_a_token_only_in_its_one_spelling(text: str) -> None:
    token = LeaseToken.parse(text)
    assert token is None or str(token) == text


@pytest.mark.parametrize(
    "text",
    [f"{2**63}.1.{NONCE}", f"1.{2**63}.{NONCE}", f"0.1.{NONCE}", f"1.0.{NONCE}", f"01.1.{NONCE}", f"1.1.{NONCE}\n",
     f"١.1.{NONCE}", f"1.1.{NONCE.upper()}", ""],
)  # fmt: skip
def test_what_cannot_be_ours_is_no_token(text: str) -> None:
    assert LeaseToken.parse(text) is None
