"""URLs are read as browsers read them, and nothing of a parameter is lost, changed or reordered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracer.follow import urls
from services.tracer.follow.urls import Url
from services.tracer.model.report import Parameter

BASE = urls.parse("http://user:pw@base.test/dir/page?x=1#frag")
assert BASE is not None

anything = st.text(st.characters(exclude_categories=[]), max_size=60)
url_parts = ["http://", "https:", "//", "/", "\\", "?", "#", "@", ":", "..", "%", "%2e", "a", "é", "[", "]", " ", "80"]
url_like = st.lists(st.sampled_from(url_parts), max_size=14).map("".join)


def parsed(text: str) -> Url:
    url = urls.parse(text)
    assert url is not None
    return url


@given(st.one_of(anything, url_like), st.booleans())
def test_parsing_never_raises_and_what_it_gives_is_stable(text: str, relative: bool) -> None:
    url = urls.parse(text, BASE if relative else None)
    if url is None:
        return
    assert url.href.isascii()
    assert parsed(url.href) == url
    if url.scheme in urls.WEB_SCHEMES:
        whole = f"{url.scheme}://{url.authority}{url.request_target}"
        assert url.public.partition("#")[0] == whole
        assert "@" not in url.authority


@given(st.binary(max_size=40))
def test_bytes_that_are_not_ascii_survive_one_by_one(raw: bytes) -> None:
    query = bytes(byte for byte in raw if byte > 0x7F)
    url = urls.parse_bytes(b"/p?q=" + query, BASE)
    assert url is not None
    assert url.request_target == "/p?q=" + "".join(f"%{byte:02X}" for byte in query)


@given(st.binary(max_size=60))
def test_bytes_never_raise(raw: bytes) -> None:
    url = urls.parse_bytes(raw, BASE)
    assert url is None or url.href.isascii()


@pytest.mark.parametrize(
    ("text", "authority", "target"),
    [
        ("http://a.test", "a.test", "/"),
        ("https://a.test:443/x?y#z", "a.test", "/x?y"),
        ("https://a.test:80/", "a.test:80", "/"),
        ("http://a.test/?", "a.test", "/?"),
        ("http://a.test/?#", "a.test", "/?"),
        ("http://[2001:db8::1]:8080/x", "[2001:db8::1]:8080", "/x"),
        ("http://u:p@a.test:81/x", "a.test:81", "/x"),
        ("http://bücher.test/%7e", "xn--bcher-kva.test", "/%7e"),
        ("HTTP://A.TEST/A", "a.test", "/A"),
    ],
)
def test_what_is_sent(text: str, authority: str, target: str) -> None:
    url = parsed(text)
    assert (url.authority, url.request_target) == (authority, target)


def test_credentials_are_decoded_and_never_public() -> None:
    url = parsed("http://na%3Ame:p%40ss@a.test/x?q#f")
    assert url.credentials == (b"na:me", b"p@ss")
    assert url.public == "http://a.test/x?q#f"
    assert url.without_query == "http://a.test/x"
    assert parsed("http://a.test/@x").credentials is None
    assert parsed("http://a.test/@x").public == "http://a.test/@x"
    assert parsed("http://only@a.test/").credentials == (b"only", b"")


def test_lone_surrogates_are_no_url() -> None:
    assert urls.parse("http://a.test/\ud800") is None


def _write(parameters: list[Parameter]) -> str:
    return "&".join(p.name if p.no_equals else f"{p.name}={p.value}" for p in parameters)


raw_text = st.text(st.sampled_from("abcXYZ019-._~%+*!';:@/,"), max_size=8)
pair = st.tuples(raw_text, raw_text).map(lambda both: Parameter(*both))
flag = st.builds(lambda name: Parameter(name, "", no_equals=True), raw_text.filter(bool))


@given(st.lists(st.one_of(pair, flag), min_size=1, max_size=12))
def test_every_parameter_is_there_byte_for_byte_in_its_order(given_parameters: list[Parameter]) -> None:
    query = _write(given_parameters)
    found = urls.parameters(parsed(f"http://a.test/?{query}"))
    assert _write(list(found)) == query.replace("'", "%27")
    assert len(found) == len(given_parameters)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://a.test/", []),
        ("http://a.test/?", []),
        ("http://a.test/?a=1&a=2&&b", [("a", "1", False), ("a", "2", False), ("b", "", False)]),
        ("http://a.test/?a=%20+%2B&=x&b==c", [("a", "%20+%2B", False), ("", "x", False), ("b", "=c", False)]),
        ("http://a.test/?q=1#k=2&k=3", [("q", "1", False), ("k", "2", True), ("k", "3", True)]),
        ("http://a.test/#/route?clickid=7", [("clickid", "7", True)]),
        ("http://a.test/#section", []),
        ("http://a.test/#!/x=1?y=2", [("!/x", "1?y=2", True)]),
    ],
)
def test_parameters(text: str, expected: list[tuple[str, str, bool]]) -> None:
    assert [(p.name, p.value, p.in_fragment) for p in urls.parameters(parsed(text))] == expected
