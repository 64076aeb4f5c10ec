"""Sessions end, and cannot be made up or extended."""

import pytest

from services.gateway.console.session import LIFETIME_SECONDS, Sessions


def test_a_session_is_good_until_its_end_and_for_its_token_alone() -> None:
    now = [1_000.0]
    sessions = Sessions("token", clock=lambda: now[0])
    cookie = sessions.begin()
    assert sessions.is_good(cookie)
    assert not Sessions("other", clock=lambda: now[0]).is_good(cookie)
    now[0] += LIFETIME_SECONDS + 1
    assert not sessions.is_good(cookie)


@pytest.mark.parametrize("cookie", ["", ".", "9999999999.", "9999999999.00", "x.y", "9" * 5_000, "\udcff.é"])
def test_a_made_up_session_is_refused(cookie: str) -> None:
    assert not Sessions("token").is_good(cookie)


def test_a_session_cannot_be_made_longer() -> None:
    sessions = Sessions("token")
    until, _, signature = sessions.begin().partition(".")
    assert not sessions.is_good(f"{int(until) + 1}.{signature}")
