"""Every error that libcurl knows has a meaning of ours; none falls through, and none shows libcurl's own words."""

from dataclasses import replace

import pycurl
import pytest

from services.tracer.fetch.failures import Breakdown, failure_of
from services.tracer.model.report import Blame, StopReason

DOWN = Breakdown(
    code=pycurl.E_RECV_ERROR,
    words="secret words of libcurl",
    proxied=True,
    request_left=False,
    status=0,
    resolved=True,
    connected=True,
    connect_status=0,
    socks_code=0,
    origin_tls_begun=False,
    verify_result=0,
    proxy_verify_result=0,
    dial_refused=False,
)


@pytest.mark.parametrize("request_left", [False, True])
@pytest.mark.parametrize("proxied", [False, True])
@pytest.mark.parametrize("code", range(1, 105))
def test_every_code_has_a_meaning(code: int, proxied: bool, request_left: bool) -> None:
    failure = failure_of(replace(DOWN, code=code, proxied=proxied, request_left=request_left))
    assert failure.reason.isupper()
    assert "secret" not in failure.message
    if failure.blame is Blame.PROXY:
        assert proxied
        assert not request_left


@pytest.mark.parametrize("code", range(40))
def test_every_code_of_a_socks_proxy_has_a_meaning(code: int) -> None:
    failure = failure_of(replace(DOWN, code=97, socks_code=code))
    expected = StopReason.PROXY_ERROR if failure.blame is Blame.PROXY else StopReason.CONNECTION_ERROR
    assert failure.stop is expected


@pytest.mark.parametrize("result", [*range(2, 95)])
def test_every_problem_of_a_certificate_has_a_name(result: int) -> None:
    down = replace(DOWN, code=pycurl.E_PEER_FAILED_VERIFICATION, origin_tls_begun=True, verify_result=result)
    failure = failure_of(down)
    assert failure.stop is StopReason.TLS_ERROR
    assert failure.reason.startswith("TLS_CERTIFICATE_")


def test_a_proxy_is_never_to_blame_for_what_came_after_the_request_left() -> None:
    failure = failure_of(replace(DOWN, request_left=True))
    assert (failure.stop, failure.blame) == (StopReason.CONNECTION_ERROR, Blame.TARGET)


@pytest.mark.parametrize(
    ("now", "reason", "blame"),
    [
        ({"proxied": False, "resolved": False, "connected": False}, "NAME_TIMEOUT", Blame.TARGET),
        ({"proxied": False, "connected": False}, "CONNECT_TIMEOUT", Blame.TARGET),
        ({"connected": False}, "PROXY_CONNECT_TIMEOUT", Blame.PROXY),
        ({}, "PROXY_TUNNEL_TIMEOUT", Blame.PROXY),
        ({"origin_tls_begun": True}, "TLS_TIMEOUT", Blame.TARGET),
        ({"request_left": True}, "RESPONSE_TIMEOUT", Blame.TARGET),
        ({"request_left": True, "status": 200}, "TRANSFER_TIMEOUT", Blame.TARGET),
    ],
)
def test_a_stall_is_named_after_its_phase(now: dict[str, object], reason: str, blame: Blame) -> None:
    failure = failure_of(replace(DOWN, code=pycurl.E_OPERATION_TIMEDOUT, **now))  # type: ignore[arg-type] # fields by name
    assert (failure.stop, failure.reason, failure.blame) == (StopReason.HOP_TIMEOUT, reason, blame)
