"""Every error that libcurl knows has a meaning of ours; none falls through, and none shows libcurl's own words."""

from dataclasses import replace

import pycurl
import pytest

from services.tracer.faults import Breakdown, fault_of
from services.tracer.model import Blame, StopReason

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
    fault = fault_of(replace(DOWN, code=code, proxied=proxied, request_left=request_left))
    assert fault.reason.isupper()
    assert "secret" not in fault.message
    if fault.blame is Blame.PROXY:
        assert proxied
        assert not request_left


@pytest.mark.parametrize("code", range(40))
def test_every_code_of_a_socks_proxy_has_a_meaning(code: int) -> None:
    fault = fault_of(replace(DOWN, code=97, socks_code=code))
    expected = StopReason.PROXY_ERROR if fault.blame is Blame.PROXY else StopReason.CONNECTION_ERROR
    assert fault.stop is expected


@pytest.mark.parametrize("result", [*range(2, 95)])
def test_every_problem_of_a_certificate_has_a_name(result: int) -> None:
    down = replace(DOWN, code=pycurl.E_PEER_FAILED_VERIFICATION, origin_tls_begun=True, verify_result=result)
    fault = fault_of(down)
    assert fault.stop is StopReason.TLS_ERROR
    assert fault.reason.startswith("TLS_CERTIFICATE_")


def test_a_proxy_is_never_to_blame_for_what_came_after_the_request_left() -> None:
    fault = fault_of(replace(DOWN, request_left=True))
    assert (fault.stop, fault.blame) == (StopReason.CONNECTION_ERROR, Blame.TARGET)
