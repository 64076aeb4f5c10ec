"""Tokens put the click's own bytes into the offer's URLs, and can put them nowhere else."""

import ada_url
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.model import Offer
from services.gateway.urls import template
from services.gateway.urls.parameters import parse, wire_safe

OFFER = Offer("demo", "http://t.example/", country="gb", identity_params=("order",))


def expanded(url: str, query: str) -> str:
    return template.expand(url, OFFER, "0192", parse(query))


@pytest.mark.parametrize(
    ("url", "query", "result"),
    [
        ("http://t/?g={gclid}&x={order}", "gclid=a%20+b&order=%ff", "http://t/?g=a%20+b&x=%ff"),
        ("http://t/?g={gclid}", "gclid=1&gclid=2", "http://t/?g=1"),
        ("http://t/?g={gclid}", "", "http://t/?g="),
        ("http://t/{offer}/{country}?i={click_id}#{gclid}", "gclid=7", "http://t/demo/gb?i=0192#7"),
        ("http://t/p/{gclid}/q", "gclid=../../x?y=1", "http://t/p/..%2F..%2Fx%3Fy=1/q"),
        ("http://t/p/{gclid}/q", "gclid=%2e.", "http://t/p//q"),
        ("http://t/p/{gclid}", "gclid=a\\..b", "http://t/p/a%5C..b"),
        ("http://t/?g={gclid}", "gclid={offer}", "http://t/?g={offer}"),
    ],
)
def test_tokens_are_filled_in(url: str, query: str, result: str) -> None:
    assert expanded(url, query) == result


@pytest.mark.parametrize("url", ["http://t.example/", "https://t.example:8443/{gclid}?a={order}#{click_id}"])
def test_good_urls_have_no_violation(url: str) -> None:
    assert template.violations(url, ["order"]) == []


@pytest.mark.parametrize(
    ("url", "violation"),
    [
        ("http://t/?a={nope}&b={other}", "{nope}, {other}"),
        ("http://t/?a={order}", "{order}"),
        ("http://{gclid}.example/", "token in its host"),
        ("http://t:{gclid}/", "no absolute"),
        ("{gclid}://t/", "no absolute"),
        ("ftp://t/", "no absolute"),
        ("javascript:alert(1)", "no absolute"),
        ("//t/", "no absolute"),
        ("", "no absolute"),
        ("http://", "no absolute"),
        ("http://user:secret@t/", "user information"),
        ("http://t/?a={", "brace"),
        ("http://t/?a=b c", "space"),
        ("http://t/\r\nX: y", "control"),
        ("http://t/?q=ä", "outside ASCII"),
    ],
)
def test_bad_urls_are_explained(url: str, violation: str) -> None:
    found = template.violations(url, [])
    assert any(violation in one for one in found), found
    assert "secret" not in str(found)


@given(st.binary(max_size=20).map(lambda raw: wire_safe(raw).replace("#", "%23").replace("&", "%26")))
def test_no_value_can_choose_another_host_or_path_or_begin_the_query(value: str) -> None:
    url = expanded("https://t.example:8443/p/{gclid}/q?x={gclid}&y=1#f={gclid}", f"gclid={value}")
    parsed = ada_url.URL(url)
    assert (parsed.protocol, parsed.host) == ("https:", "t.example:8443")
    assert parsed.pathname.startswith("/p/")
    assert parsed.pathname.endswith("/q")
    assert parsed.pathname.count("/") == 3
    assert parsed.search.startswith("?x=")
    assert parsed.search.endswith("&y=1")
    assert parsed.hash.startswith("#f=")
    assert all("!" <= character <= "~" for character in url)
