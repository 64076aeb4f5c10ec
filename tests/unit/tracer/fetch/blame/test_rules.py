"""Every error that libcurl knows has a meaning of ours; none falls through, and none shows libcurl's own words."""

from dataclasses import replace

import pycurl
import pytest

from services.tracer.fetch.blame.rules import RULES, failure_of
from services.tracer.fetch.failures import Breakdown, Phase
from services.tracer.model.report import Blame, StopReason

DOWN = Breakdown(
    code=pycurl.E_RECV_ERROR, words="secret words of libcurl", phase=Phase.TUNNEL, proxied=True, secure=True
)
SENT = {Phase.ANSWER, Phase.TRANSFER}


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("proxied", [False, True])
def test_every_code_has_a_meaning(proxied: bool, phase: Phase, secure: bool) -> None:
    for code in range(1, 105):
        failure = failure_of(replace(DOWN, code=code, proxied=proxied, phase=phase, secure=secure))
        assert failure.reason.isupper()
        assert "secret" not in failure.message
        # A reply of SOCKS after the request was sent is none that libcurl gives.
        if failure.blame is Blame.PROXY:
            assert proxied
            assert phase not in SENT or code == 97
        if failure.blame is Blame.UNCLEAR:
            assert proxied
            # Inside TLS with the target's own certificate the target itself has spoken.
            assert phase not in SENT or not secure or code in {5, 97}


@pytest.mark.parametrize("code", range(40))
def test_every_code_of_a_socks_proxy_has_a_meaning(code: int) -> None:
    failure = failure_of(replace(DOWN, code=97, socks_code=code))
    expected = StopReason.CONNECTION_ERROR if failure.blame is Blame.TARGET else StopReason.PROXY_ERROR
    assert failure.stop is expected


@pytest.mark.parametrize("result", [*range(2, 95)])
@pytest.mark.parametrize("proxied", [False, True])
def test_every_problem_of_a_certificate_has_a_name(result: int, proxied: bool) -> None:
    down = replace(DOWN, code=pycurl.E_PEER_FAILED_VERIFICATION, phase=Phase.TLS, proxied=proxied, verify_result=result)
    failure = failure_of(down)
    assert failure.stop is StopReason.TLS_ERROR
    assert failure.reason.startswith("TLS_CERTIFICATE_")
    # Whoever holds a certificate that a trusted issuer once gave to the target is the target.
    certain = not proxied or result in {9, 10, 23, 66, 67, 68}
    assert failure.blame is (Blame.TARGET if certain else Blame.UNCLEAR)


def test_a_proxy_is_never_to_blame_for_what_came_after_the_request_left() -> None:
    failure = failure_of(replace(DOWN, phase=Phase.ANSWER))
    assert (failure.stop, failure.blame) == (StopReason.CONNECTION_ERROR, Blame.TARGET)


def test_a_plain_request_that_nobody_answers_is_unclear_until_a_byte_has_come() -> None:
    plain = replace(DOWN, secure=False)
    for code in (pycurl.E_GOT_NOTHING, pycurl.E_RECV_ERROR, pycurl.E_OPERATION_TIMEDOUT):
        assert failure_of(replace(plain, code=code, phase=Phase.ANSWER)).blame is Blame.UNCLEAR
        assert failure_of(replace(plain, code=code, phase=Phase.TRANSFER)).blame is Blame.TARGET
        assert failure_of(replace(plain, code=code, phase=Phase.ANSWER, proxied=False)).blame is Blame.TARGET


@pytest.mark.parametrize(
    ("now", "reason", "blame"),
    [
        ({"proxied": False, "phase": Phase.NAME}, "NAME_TIMEOUT", Blame.TARGET),
        ({"proxied": False, "phase": Phase.CONNECT}, "CONNECT_TIMEOUT", Blame.TARGET),
        ({"proxied": False, "phase": Phase.TLS}, "TLS_TIMEOUT", Blame.TARGET),
        ({"phase": Phase.NAME}, "PROXY_NAME_TIMEOUT", Blame.UNCLEAR),
        ({"phase": Phase.CONNECT}, "PROXY_CONNECT_TIMEOUT", Blame.PROXY),
        ({"phase": Phase.PROXY_TLS}, "PROXY_TUNNEL_TIMEOUT", Blame.PROXY),
        ({"phase": Phase.GREETING}, "PROXY_TUNNEL_TIMEOUT", Blame.PROXY),
        ({}, "PROXY_TUNNEL_TIMEOUT", Blame.UNCLEAR),
        ({"phase": Phase.TLS}, "TLS_TIMEOUT", Blame.UNCLEAR),
        ({"phase": Phase.ANSWER}, "RESPONSE_TIMEOUT", Blame.TARGET),
        ({"phase": Phase.ANSWER, "secure": False}, "RESPONSE_TIMEOUT", Blame.UNCLEAR),
        ({"phase": Phase.TRANSFER}, "TRANSFER_TIMEOUT", Blame.TARGET),
    ],
)
def test_a_stall_is_named_after_its_phase(now: dict[str, object], reason: str, blame: Blame) -> None:
    failure = failure_of(replace(DOWN, code=pycurl.E_OPERATION_TIMEDOUT, **now))  # type: ignore[arg-type] # fields by name
    assert (failure.stop, failure.reason, failure.blame) == (StopReason.HOP_TIMEOUT, reason, blame)


def test_no_row_of_the_table_is_idle() -> None:
    """Each row is the answer to some breakdown; one that never decides would only mislead its readers."""
    codes = range(1, 105)
    reached = {
        next((rule for rule in RULES if rule.applies(down)), None)
        for code in codes
        for phase in Phase
        for proxied in (False, True)
        for secure in (False, True)
        for extra in (
            *({"connect_status": status} for status in (0, 100, 302, 407, 502)),
            {"connect_body": True},
            {"dial_refused": True},
            {"words": "Too large response headers"},
            {"words": "Multiple Location headers"},
            {"words": "no alternative certificate subject name matches"},
            *({"verify_result": result, "proxy_verify_result": result} for result in (2, 9, 10, 18, 23, 62, 66)),
            *({"socks_code": number} for number in (*range(34),)),
        )
        for down in [replace(DOWN, code=code, phase=phase, proxied=proxied, secure=secure, **extra)]  # type: ignore[arg-type]
    }
    assert [rule.situation for rule in RULES if rule not in reached] == []
