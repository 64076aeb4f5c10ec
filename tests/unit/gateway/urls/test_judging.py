"""Which pages at the end of a chain are landings, which keep robots out, and which are errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.model import Blame, BlockedLanding, Offer, WalkResult
from services.gateway.urls.judging import BLOCKED, HTTP_ERROR, LANDING, judged

URL = "https://shop.example/p?clickid=1"


def offer(statuses: tuple[int, ...] = (), blocked: BlockedLanding = BlockedLanding.USE) -> Offer:
    return Offer("demo", "https://track.example/", landing_statuses=statuses, blocked_landing=blocked)


def result(status: int, *, challenged: bool = False) -> WalkResult:
    return WalkResult(URL, LANDING, 1.0, 10, final_status=status, challenged=challenged)


@given(st.integers(0, 399), st.booleans())
def test_below_400_nothing_is_judged(status: int, challenged: bool) -> None:
    given_result = result(status, challenged=challenged)
    assert judged(offer(), given_result) is given_result


@pytest.mark.parametrize(
    ("status", "challenged", "reason"),
    [
        (400, False, HTTP_ERROR),
        (401, False, BLOCKED),
        (403, False, BLOCKED),
        (403, True, BLOCKED),
        (404, False, HTTP_ERROR),
        (404, True, HTTP_ERROR),
        (410, False, HTTP_ERROR),
        (429, False, BLOCKED),
        (451, False, HTTP_ERROR),
        (500, False, HTTP_ERROR),
        (502, True, HTTP_ERROR),
        (503, False, HTTP_ERROR),
        (503, True, BLOCKED),
        (599, False, HTTP_ERROR),
    ],
)
def test_an_error_is_told_from_a_page_that_keeps_robots_out(status: int, challenged: bool, reason: str) -> None:
    found = judged(offer(), result(status, challenged=challenged))
    assert found.stop_reason == reason
    if reason == BLOCKED:
        assert (found.failure_reason, found.blame) == ("", None)
    else:
        assert (found.failure_reason, found.blame, found.target_reached) == (reason, Blame.TARGET, True)
    assert found._replace(stop_reason=LANDING, failure_reason="", blame=None) == result(status, challenged=challenged)


def test_an_offer_may_want_the_fallback_for_it() -> None:
    found = judged(offer(blocked=BlockedLanding.FALLBACK), result(403))
    assert (found.stop_reason, found.failure_reason, found.blame) == (BLOCKED, BLOCKED, Blame.TARGET)


@pytest.mark.parametrize("status", [403, 404, 503])
@pytest.mark.parametrize("blocked", BlockedLanding)
def test_an_offer_may_take_a_status_for_a_landing(status: int, blocked: BlockedLanding) -> None:
    assert judged(offer((status, 418), blocked), result(status)) == result(status)


@given(st.integers(400, 599), st.sampled_from(["MAX_HOPS", "APP_LINK", "PROXY_ERROR", "UNKNOWN_99"]))
def test_only_landings_are_judged(status: int, stop_reason: str) -> None:
    for failure in ("", "SOMETHING"):
        ended = result(status)._replace(stop_reason=stop_reason, failure_reason=failure)
        assert judged(offer(), ended) is ended
