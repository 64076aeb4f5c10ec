"""What an html page leads to is found as a browser finds it, in any encoding, and nothing in a page makes it raise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracer.follow import html, urls
from services.tracer.follow.redirects import Dead, DeadEnd, Lead
from services.tracer.model.report import HopKind

DOCUMENT = urls.parse("http://a.test/dir/page?x=1")
assert DOCUMENT is not None


def find(
    page: str | bytes, content_type: bytes = b"text/html", *, reload_may_differ: bool = False
) -> Lead | DeadEnd | None:
    assert DOCUMENT is not None
    body = page if isinstance(page, bytes) else page.encode()
    return html.find_lead(body, content_type, DOCUMENT, reload_may_differ=reload_may_differ)


def target(found: Lead | DeadEnd | None) -> str:
    assert isinstance(found, Lead)
    return found.url.href


REFRESH = '<meta http-equiv="refresh" content="0;url=/n">'


def test_a_meta_refresh_and_its_snippet() -> None:
    found = find(f"<p>{'x' * 1000}{REFRESH}")
    assert isinstance(found, Lead)
    assert (found.url.href, found.kind) == ("http://a.test/n", HopKind.META_REFRESH)
    assert found.snippet == REFRESH


def test_a_snippet_is_cut() -> None:
    found = find(f'<meta http-equiv="refresh" content="0;url=/{"n" * 5000}">')
    assert isinstance(found, Lead)
    assert len(found.snippet) == html.LONGEST_SNIPPET
    assert len(found.url.href) > 5000


def test_noscript_is_not_read_because_a_browser_runs_scripts() -> None:
    assert find(f"<noscript>{REFRESH}</noscript>") is None
    assert find(f"<head><noscript>{REFRESH}</noscript></head>") is None


def test_a_comment_is_not_read() -> None:
    assert find(f"<!-- {REFRESH} -->") is None


def test_the_first_refresh_that_is_one_counts() -> None:
    page = '<meta http-equiv="refresh" content="x"><meta http-equiv="refresh" content="99;url=/late">' + REFRESH
    assert target(find(page)) == "http://a.test/n"


def test_a_refresh_that_is_no_url() -> None:
    found = find('<meta http-equiv="refresh" content="0;url=http://[">')
    assert isinstance(found, DeadEnd)
    assert found.why is Dead.INVALID_LOCATION


def test_references_spell_words_too() -> None:
    page = "<meta http-equiv=&#114;efresh content='0;url=/n&amp;m'>"
    assert target(find(page)) == "http://a.test/n&m"


def test_a_script_before_a_refresh_has_run_by_then() -> None:
    script = "<script>location.href='/s'</script>"
    assert target(find(script + REFRESH)) == "http://a.test/s"
    assert target(find(REFRESH + script)) == "http://a.test/n"


@pytest.mark.parametrize(
    "page",
    [
        "<script src=x.js>location='/s'</script>",
        "<script type='application/json'>location='/s'</script>",
        "<script type='text/template'>location='/s'</script>",
        "<template><script>location='/s'</script></template>",
        "<textarea><script>location='/s'</script></textarea>",
        "<noscript><script>location='/s'</script></noscript>",
        "<script>location='#only-the-fragment'</script>",
        "<script>location='http://['</script>",
        "<script>location='javascript:alert(1)'</script>",
        "<body onclick=\"location='/s'\">",
    ],
)
def test_scripts_that_lead_nowhere(page: str) -> None:
    assert find(page) is None


@pytest.mark.parametrize(
    "page",
    [
        "<script>location='/s'</script>",
        "<SCRIPT TYPE=text/javascript>location='/s'</SCRIPT>",
        "<script type=module>location='/s'</script>",
        "<body onload=\"location='/s'\">",
        "<base href=/other/><script>location='/s'</script>",
        "<script>var x = 1;</script><script>location='/s'</script>",
    ],
)
def test_scripts_that_lead_on(page: str) -> None:
    found = find(page)
    assert target(found) == "http://a.test/s"
    assert isinstance(found, Lead)
    assert found.kind is HopKind.SCRIPT


@pytest.mark.parametrize(
    ("encoding", "content_type", "declaration"),
    [
        ("utf-8", b"text/html", ""),
        ("utf-8", b"text/html; charset=utf-8", "<meta charset=windows-1251>"),
        ("utf-8-sig", b"text/html; charset=windows-1251", ""),
        ("utf-16", b"text/html", ""),
    ],
)
def test_unicode_encodings_give_utf_8_queries(encoding: str, content_type: bytes, declaration: str) -> None:
    page = f'{declaration}<meta http-equiv="refresh" content="0;url=/п?q=п">'.encode(encoding)
    assert target(find(page, content_type)) == "http://a.test/%D0%BF?q=%D0%BF"


@pytest.mark.parametrize(
    ("content_type", "declaration"),
    [
        (b"text/html; charset=windows-1251", ""),
        (b'text/html; charset="WINDOWS-1251"', ""),
        (b"text/html", "<meta charset='windows-1251'>"),
        (b"text/html", '<meta http-equiv="Content-Type" content="text/html; charset=windows-1251">'),
    ],
)
def test_a_query_is_written_in_the_encoding_of_its_page(content_type: bytes, declaration: str) -> None:
    """A path is always written in UTF-8, a query in the encoding of the document (URL standard)."""
    page = f'{declaration}<meta http-equiv="refresh" content="0;url=/п?q=п&amp;€=1#п">'.encode("windows-1251")
    assert target(find(page, content_type)) == "http://a.test/%D0%BF?q=%EF&%88=1#%D0%BF"


def test_what_an_encoding_cannot_write_becomes_a_reference() -> None:
    page = '<meta http-equiv="refresh" content="0;url=?q=&#x4E2D;">'
    assert target(find(page, b"text/html; charset=iso-8859-1")) == "http://a.test/dir/page?q=%26%2320013%3B"


@pytest.mark.parametrize("charset", [b"none", b"base64", b"rot13", b"\xff", b"undefined", b"idna", b"punycode"])
def test_a_charset_that_is_none_is_passed_over(charset: bytes) -> None:
    assert target(find(REFRESH, b"text/html; charset=" + charset)) == "http://a.test/n"


def test_without_a_type_a_body_has_to_look_like_a_page() -> None:
    assert target(find("<html>" + REFRESH, b"")) == "http://a.test/n"
    assert target(find("\n <!-- x -->" + REFRESH, b"")) == "http://a.test/n"
    assert find("text first " + REFRESH, b"") is None
    assert find(b"\x89PNG" + REFRESH.encode(), b"") is None


pieces = st.sampled_from(
    [
        "<meta ", "http-equiv=", "refresh", "content=", "'0;url=/n'", '"', "'", ">", "<", "<base href=//b.test/>",
        "<script>", "</script>", "location=", "'/s'", ";", "<!--", "-->", "<template>", "</template>", "<svg>", "&#",
        "é", "\0", "<noscript>",
    ]
)  # fmt: skip


@given(st.lists(pieces, max_size=30).map("".join))
def test_no_page_makes_it_raise(page: str) -> None:
    found = find(page, reload_may_differ=True)
    if isinstance(found, Lead):
        assert found.url.href.isascii()
        assert len(found.snippet) <= html.LONGEST_SNIPPET


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_no_bytes_make_it_raise(body: bytes, content_type: bytes) -> None:
    find(REFRESH.encode() + body, b"text/html;" + content_type)
