"""A proxy's own answer is told from one that it passed on, for every program in the table."""

import pytest

from services.tracer.fetch.own_answers import RULES, is_own_answer

# Status and headers of an own answer, and of one that the same proxy passed on.
SEEN = {
    "any proxy of RFC 9209": (
        (502, {b"proxy-status": [b"exit.example; error=connection_refused"]}),
        (502, {b"proxy-status": [b"exit.example; received-status=502"]}),
    ),
    "squid": (
        (503, {b"x-squid-error": [b"ERR_DNS_FAIL 0"], b"via": [b"1.1 front (squid/5.7)"]}),
        (503, {b"via": [b"1.1 front (squid/5.7)"], b"x-cache": [b"MISS from front"]}),
    ),
    "tinyproxy": (
        (500, {b"server": [b"tinyproxy/1.11.1"]}),
        (500, {b"server": [b"tinyproxy/1.11.1"], b"via": [b"1.1 front (tinyproxy/1.11.1)"]}),
    ),
    "mitmproxy": ((502, {b"server": [b"mitmproxy 11.0.2"]}), (502, {b"server": [b"nginx"]})),
    "proxy.py": ((502, {b"proxy-agent": [b"proxy.py v2.4.10"]}), (502, {b"server": [b"nginx"]})),
    "proxy-chain": ((403, {b"server": [b"ProxyChain"]}), (403, {b"server": [b"nginx"]})),
    "proxy-chain, Apify Proxy": ((595, {}), (589, {})),
    "envoy": (
        (503, {b"server": [b"envoy"]}),
        (503, {b"server": [b"envoy"], b"x-envoy-upstream-service-time": [b"3"]}),
    ),
    "Traffic Server": ((502, {b"server": [b"ATS/9.2.9"]}), (502, {b"server": [b"ATS/9.2.9"], b"age": [b"0"]})),
    "Bright Data": ((502, {b"x-brd-err-code": [b"policy_20050"]}), (502, {b"x-brd-ip": [b"x"]})),
    "Oxylabs": ((502, {b"x-error-description": [b"no exit"]}), (502, {b"server": [b"nginx"]})),
}


@pytest.mark.parametrize("proxy", SEEN)
def test_own_answers_are_told_from_those_passed_on(proxy: str) -> None:
    own, passed_on = SEEN[proxy]
    assert is_own_answer(*own)
    assert not is_own_answer(*passed_on)


def test_every_rule_has_a_source_and_an_example() -> None:
    assert {rule.proxy for rule in RULES} == set(SEEN)
    assert all(rule.source for rule in RULES)


def test_a_page_made_of_what_is_no_http_is_not_the_targets() -> None:
    assert is_own_answer(200, {b"x-transformed-from": [b"HTTP/0.9"]})


def test_an_ordinary_response_is_nobodys_own() -> None:
    assert not is_own_answer(200, {b"server": [b"nginx"], b"via": [b"1.1 varnish"], b"age": [b"7"]})
