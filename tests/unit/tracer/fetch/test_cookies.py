"""Cookies live as long as RFC 6265 says, whatever libcurl makes of them."""

import calendar

import pycurl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracer.fetch import cookies
from services.tracer.follow import urls

NOW = 1_800_000_000.0

# Each header, and whether the cookie lives by RFC 6265.
HEADERS = {
    "c=1": True,
    "c=1; Max-Age=+3600": True,
    "c=1; Max-Age=": True,
    "c=1; Max-Age=abc": True,
    'c=1; Max-Age="3600"': True,
    "c=1; Max-Age=10abc": True,
    "c=1; Max-Age=3600": True,
    "c=1; Max-Age=0": False,
    "c=1; Max-Age=-1": False,
    "c=1; Max-Age=99999999999999999999": True,
    "c=1; Expires=Thu, 01-Jan-70 00:00:01 GMT": False,
    "c=1; Expires=Thu, 01-Jan-71 00:00:01 GMT": False,
    "c=1; Expires=Thu, 01-Jan-69 00:00:01 GMT": True,
    "c=1; Expires=Thu, 01 January 1970 00:00:01 GMT": False,
    "c=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT": False,
    "c=1; Expires=Thu Jan  1 00:00:01 1970": False,
    "c=1; Expires=0": True,
    "c=1; Expires=1970-01-01": True,
    "c=1; Expires=Thu, 01 Jan 1500 00:00:00 GMT": True,
    "c=1; Expires=Tue, 31 Feb 1999 00:00:01 GMT": True,
    'c=1; Expires="Thu, 01 Jan 1970 00:00:00 GMT"': False,
    "c=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=+5": False,
    "c=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=5": True,
    "c=1; Max-Age=0; Max-Age=50": True,
    "c=1; Max-Age=50; Max-Age=0": False,
    "c=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Expires=Fri, 01 Jan 2099 00:00:00 GMT": True,
    "c=1; Expires=Fri, 01 Jan 2099 00:00:00 GMT; Expires=Thu, 01 Jan 1970 00:00:00 GMT": False,
}


@pytest.mark.parametrize("header", HEADERS)
def test_whether_a_cookie_lives(header: str) -> None:
    cookie = cookies.parse(header.encode())
    assert cookie is not None
    ends = cookies.expiry(cookie.attributes, NOW)
    assert (ends == 0 or ends > NOW) is HEADERS[header]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", (1994, 11, 6, 8, 49, 37)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", (1994, 11, 6, 8, 49, 37)),
        ("Sun Nov  6 08:49:37 1994", (1994, 11, 6, 8, 49, 37)),
        ("6 november 94 8:49:37", (1994, 11, 6, 8, 49, 37)),
        ("1994 6 Nov 08:49:37", (1994, 11, 6, 8, 49, 37)),
        ("6 Nov 1994", None),
        ("6 Nov 1994 24:00:00", None),
        ("", None),
    ],
)
def test_dates(text: str, expected: tuple[int, ...] | None) -> None:
    assert cookies.parse_date(text.encode()) == (calendar.timegm(expected) if expected else None)


@given(st.binary(max_size=200))
def test_nothing_makes_it_raise(header: bytes) -> None:
    url = urls.parse("http://a.test/")
    assert url is not None
    cookies.correct(pycurl.Curl(), url, [header], NOW)


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("http://a.test/", "c=1; Max-Age=+1; Domain=b.test"),
        ("http://a.test/", "c=1; Max-Age=+1; Domain=xa.test"),
        ("http://a.test/", "c=1; Max-Age=+1; Secure"),
        ("http://a.test/", "__Host-c=1; Max-Age=+1"),
        ("http://a.test/", "c=1\t; Max-Age=+1; Path=/\x01x; Domain=b"),
        ("http://a.test/", f"c={'x' * 4096}; Max-Age=+1"),
    ],
)
def test_what_may_not_be_set_is_not_set(url: str, header: str) -> None:
    curl = pycurl.Curl()
    curl.setopt(pycurl.COOKIEFILE, "")
    parsed = urls.parse(url)
    assert parsed is not None
    cookies.correct(curl, parsed, [header.encode()], NOW)
    assert curl.getinfo(pycurl.INFO_COOKIELIST) == []
