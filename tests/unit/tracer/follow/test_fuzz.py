"""Whatever a response holds, reading it raises nothing, and what comes of it keeps the promises a walk builds on.

Inputs are pieces of the grammars concerned, whole, cut and glued in any order, among bytes that mean nothing. What a
damaged response does on the wire is in tests/integration/tracer/fetch/test_fuzz.py.
"""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.tracer.fetch.response import MAX_HEADER_BYTES, Collector
from services.tracer.follow import html, redirects, referrers, scripts, urls
from services.tracer.follow.redirects import DeadEnd, Lead
from services.tracer.follow.walk import _cookie_names
from services.tracer.model.exchange import BodyUse, Headers
from services.tracer.model.report import HopKind

THOROUGH = settings(max_examples=400, deadline=None)

_found = urls.parse("https://user:pass@a.example/dir/page?x=1#frag")
assert _found is not None
BASE = _found


def glued(*pieces: bytes, size: int = 12) -> st.SearchStrategy[bytes]:
    """Returns texts of these pieces and of anything else."""
    part = st.one_of(st.sampled_from(pieces), st.sampled_from(pieces), st.binary(max_size=6))
    return st.lists(part, max_size=size).map(b"".join)


LOCATIONS = glued(
    b"http://",
    b"https:",
    b"//",
    b"/",
    b"\\",
    b"@",
    b":",
    b":443",
    b"[::1]",
    b"[",
    b"]",
    b"?",
    b"#",
    b"%",
    b"%2",
    b"%00",
    b"..",
    b"./",
    b" ",
    b"\t",
    b"a.test",
    b"127.1",
    b"0x7f",
    b"xn--",
    b"intent:",
    b"javascript:",
    b"a=b",
    b"&",
    b"+",
    b"\xc3\xa9",
    b"\xff",
    b"\xed\xa0\x80",
    "ß。".encode(),
    b"user:pw",
)
REFRESHES = glued(
    b"0", b"5", b"10", b"99999999999999999999", b".", b";", b",", b"url", b"URL=", b"'", b'"', b" ", b"/x", b"="
)
HTML = glued(
    b"<meta http-equiv=refresh content='0;url=",
    b"<meta http-equiv=refresh content=0>",
    b"/next'>",
    b"<base href=",
    b"/b/>",
    b"<script>",
    b"</script>",
    b"location='/s'",
    b"location.replace(",
    b'"/r")',
    b"window.",
    b"<noscript>",
    b"</noscript>",
    b"<!--",
    b"-->",
    b"<body onload=",
    b"location.href='/o'",
    b"<meta charset=utf-16>",
    b"<meta charset=shift_jis>",
    b"<meta name=referrer content=origin>",
    b"&#114;efresh",
    b"refresh",
    b"<",
    b">",
    b"'",
    b"\x00",
    b"<svg>",
    b"<template>",
    b"<iframe srcdoc=",
    b"]]>",
    b"<p>",
    size=16,
)
SCRIPTS = st.lists(
    st.sampled_from(
        [
            "location",
            "window.",
            "top.",
            "document.",
            ".href",
            "=",
            "==",
            "+",
            ".replace(",
            ".assign(",
            ")",
            "'",
            '"',
            "`",
            "'/x'",
            '"http://a.test/?a=\\u0026"',
            "\\x2f",
            "\\",
            "//",
            "/*",
            "*/",
            "\n",
            ";",
            "{",
            "}",
            "(",
            "if",
            "var ",
            "function",
            "/re/",
            "${",
            "\u2028",
            "é",
        ]
    ),
    max_size=16,
).map("".join)
CONTENT_TYPES = st.sampled_from(
    [
        b"",
        b"text/html",
        b"text/html; charset=utf-8",
        b"text/html;charset=iso-8859-1",
        b"text/html; charset=gbk",
        b'text/html; charset="utf-16le',
        b"text/html; charset=\xff\x00",
        b"text/html; charset=utf-7",
    ]
)
NAMES = st.sampled_from(
    [b"location", b"refresh", b"set-cookie", b"content-type", b"content-disposition", b"referrer-policy", b"x"]
)
VALUES = st.one_of(LOCATIONS, REFRESHES, glued(b"attachment", b"a=b", b";", b"=", b"text/html", b"no-referrer", b","))


def check(lead: Lead | DeadEnd | None) -> None:
    """Holds a lead to what the walk takes for granted."""
    if not isinstance(lead, Lead):
        return
    again = urls.parse(lead.url.href)
    assert again is not None
    assert again.href == lead.url.href
    assert lead.url.href.isascii()
    assert lead.url.scheme not in {"", "javascript"} or lead.kind is HopKind.LOCATION
    assert len(lead.snippet) <= html.LONGEST_SNIPPET


@THOROUGH
@given(LOCATIONS)
@example(b"//[::ffff:127.0.0.1]")
def test_a_location(raw: bytes) -> None:
    url = urls.parse_bytes(raw, BASE)
    if url is None:
        return
    assert url.href.isascii()
    assert urls.parse(url.href) == url
    if url.scheme in urls.WEB_SCHEMES:
        assert url.host
        assert 0 <= url.port <= 65535
        assert url.request_target.startswith("/")
        assert "@" not in url.public.split("/")[2]


@THOROUGH
@given(LOCATIONS, st.booleans())
def test_parameters_are_the_bytes_that_stood_there(raw: bytes, in_fragment: bool) -> None:
    text = urls.escape(raw).replace("#", "")
    url = urls.parse(f"http://a.test/#{text}" if in_fragment else f"http://a.test/?{text}")
    if url is None:
        return
    source = url.href.partition("#" if in_fragment else "?")[2]
    found = [p.name + ("" if p.no_equals else "=" + p.value) for p in urls.parameters(url)]
    pieces = [piece for piece in source.split("&") if piece]
    if in_fragment:
        assert all(piece in source for piece in found)
    else:
        assert found == pieces


@THOROUGH
@given(
    st.sampled_from([200, 201, 204, 300, 301, 302, 303, 304, 307, 308, 404, 503]),
    st.lists(st.tuples(NAMES, VALUES), max_size=6),
    st.booleans(),
)
def test_a_response_head(status: int, lines: list[tuple[bytes, bytes]], reload_may_differ: bool) -> None:
    headers: dict[bytes, list[bytes]] = {}
    for name, value in lines:
        headers.setdefault(name, []).append(value.strip())
    lead = redirects.from_headers(status, headers, BASE, reload_may_differ=reload_may_differ)
    check(lead)
    plan = redirects.body_plan(status, headers, follow_html=True)
    if isinstance(lead, Lead) and lead.kind is HopKind.LOCATION:
        assert status in redirects.REDIRECT_STATUSES
        assert plan is BodyUse.DRAIN
    assert referrers.policy_of_headers(headers) in {"", *referrers._POLICIES}
    assert all(name and len(name) <= 200 for name in _cookie_names(headers))


@THOROUGH
@given(REFRESHES)
def test_a_refresh(raw: bytes) -> None:
    refresh = redirects.parse_refresh(raw.decode("latin-1"))
    if refresh is not None:
        assert 0 <= refresh.delay < 10**18
        assert raw.decode("latin-1").find(refresh.target) >= 0


@THOROUGH
@given(HTML, CONTENT_TYPES, st.booleans())
def test_a_page(body: bytes, content_type: bytes, reload_may_differ: bool) -> None:
    lead = html.find_lead(body, content_type, BASE, reload_may_differ=reload_may_differ)
    check(lead)
    if isinstance(lead, Lead):
        assert lead.kind in {HopKind.META_REFRESH, HopKind.SCRIPT}
        assert lead.snippet


@THOROUGH
@given(SCRIPTS)
def test_a_script(code: str) -> None:
    found = scripts.find_redirect(code)
    if found is not None:
        assert scripts.may_redirect(code)
        assert found.snippet in code


LINES = st.lists(
    st.one_of(
        st.sampled_from([b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 103 Early\r\n", b"HTTP/2 302 \r\n", b"HTTP/1.1 101 S\r\n"]),
        st.sampled_from([b"\r\n", b"\n", b"Location: /x\r\n", b"LOCATION:/y\r\n", b" folded\r\n", b":\r\n", b"X\r\n"]),
        st.binary(max_size=20).map(lambda raw: raw.replace(b"\n", b"") + b"\r\n"),
    ),
    max_size=30,
)


@THOROUGH
@given(LINES, st.lists(st.binary(max_size=50), max_size=5), st.sampled_from(BodyUse), st.integers(1, 60))
def test_header_lines_and_parts_of_a_body(lines: list[bytes], parts: list[bytes], use: BodyUse, limit: int) -> None:
    asked: list[int] = []

    def plan(status: int, headers: Headers) -> BodyUse:
        asked.append(status)
        assert all(name == name.strip().lower() for name in headers)
        return use

    collector = Collector(lambda: None)
    collector.begin(plan, limit)
    for line in lines:
        if collector.header(line) is not None:
            break
    assert len(asked) == collector.complete <= 1
    assert not collector.complete or 200 <= collector.status <= 999 or collector.status == 101
    if not collector.complete or collector.use is BodyUse.SKIP:
        return
    for part in parts:
        if collector.body_part(part) is not None:
            break
    if use is BodyUse.READ:
        assert b"".join(parts).startswith(collector.body)
        assert len(collector.body) <= limit


@given(st.integers(1, 20_000))
def test_headers_end_at_their_bound(size: int) -> None:
    collector = Collector(lambda: None)
    collector.begin(lambda _status, _headers: BodyUse.READ, 1)
    collector.header(b"HTTP/1.1 200 OK\r\n")
    line = b"x" * size + b"\r\n"
    taken = 17
    while collector.header(line) is None:
        taken += len(line)
        assert taken <= MAX_HEADER_BYTES
    assert collector.headers_too_large
    assert taken + len(line) > MAX_HEADER_BYTES
