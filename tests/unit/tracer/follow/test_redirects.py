"""Status and headers are judged as browsers judge them; the refresh parser is held against the standard's own steps."""

from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.tracer.follow import redirects, urls
from services.tracer.follow.redirects import Dead, DeadEnd, Lead, Refresh
from services.tracer.model.exchange import BodyUse, Headers
from services.tracer.model.report import HopKind

DOCUMENT = urls.parse("http://a.test/dir/page?x=1#frag")
assert DOCUMENT is not None


def by_name(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Returns headers as a response has them."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        found.setdefault(name, []).append(value)
    return found


def lead(status: int, *headers: tuple[bytes, bytes], reload_may_differ: bool = False) -> Lead | DeadEnd | None:
    assert DOCUMENT is not None
    return redirects.from_headers(status, by_name(headers), DOCUMENT, reload_may_differ=reload_may_differ)


def target(found: Lead | DeadEnd | None) -> str:
    assert isinstance(found, Lead)
    return found.url.href


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(status: int) -> None:
    found = lead(status, (b"location", b"next"))
    assert target(found) == "http://a.test/dir/next#frag"
    assert isinstance(found, Lead)
    assert found.kind is HopKind.LOCATION


@pytest.mark.parametrize("status", [200, 201, 300, 304, 305, 306, 309, 400, 404, 500])
def test_a_location_of_another_status_is_not_followed(status: int) -> None:
    assert lead(status, (b"location", b"/next")) is None


def test_a_fragment_of_the_location_wins() -> None:
    assert target(lead(302, (b"location", b"/n#own"))) == "http://a.test/n#own"
    assert target(lead(302, (b"location", b"/n#"))) == "http://a.test/n#"
    assert target(lead(302, (b"location", b"/n"))) == "http://a.test/n#frag"


def test_an_app_link_inherits_no_fragment() -> None:
    assert target(lead(302, (b"location", b"intent://x"))) == "intent://x"


def test_two_locations() -> None:
    assert target(lead(302, (b"location", b"/n"), (b"location", b"/n"))) == "http://a.test/n#frag"
    found = lead(302, (b"location", b"/n"), (b"location", b"/m"))
    assert isinstance(found, DeadEnd)
    assert found.why is Dead.CONFLICTING_LOCATION


def test_a_location_that_is_no_url_is_told_as_it_stood() -> None:
    found = lead(302, (b"location", b"http://exa mple/\xff"))
    assert found == DeadEnd(Dead.INVALID_LOCATION, "http://exa mple/%FF")


def test_an_empty_location_is_none_and_a_refresh_beside_it_counts() -> None:
    assert lead(302, (b"location", b"")) is None
    assert target(lead(302, (b"location", b""), (b"refresh", b"0;url=/r"))) == "http://a.test/r"


def test_a_location_wins_over_a_refresh() -> None:
    assert target(lead(302, (b"refresh", b"0;url=/r"), (b"location", b"/l"))) == "http://a.test/l#frag"


def test_a_refresh_of_a_download_or_an_empty_answer_leads_nowhere() -> None:
    refresh = (b"refresh", b"0;url=/r")
    assert lead(204, refresh) is None
    assert lead(200, refresh, (b"content-disposition", b"Attachment; filename=x")) is None
    assert target(lead(404, refresh)) == "http://a.test/r"


@pytest.mark.parametrize(("delay", "followed"), [(b"0", True), (b"10", True), (b"10.9", True), (b"11", False)])
def test_the_longest_delay(delay: bytes, followed: bool) -> None:
    assert isinstance(lead(200, (b"refresh", delay + b";url=/r")), Lead) is followed


def test_a_page_that_reloads_itself_is_followed_only_after_a_new_cookie() -> None:
    for value in (b"0", b"0;url=", b"0;url=http://a.test/dir/page?x=1#frag"):
        assert lead(200, (b"refresh", value)) is None
        assert target(lead(200, (b"refresh", value), reload_may_differ=True)) == "http://a.test/dir/page?x=1#frag"


def test_a_refresh_runs_no_script() -> None:
    assert lead(200, (b"refresh", b"0;url=JavaScript:alert(1)")) is None


def test_a_refresh_that_is_no_url() -> None:
    assert lead(200, (b"refresh", b"0;url=http://[")) == DeadEnd(Dead.INVALID_LOCATION, "http://[")


@pytest.mark.parametrize(
    ("status", "headers", "follow_html", "plan"),
    [
        (302, [(b"location", b"/x"), (b"content-type", b"text/html")], True, BodyUse.DRAIN),
        (302, [(b"content-type", b"text/html")], True, BodyUse.READ),
        (302, [(b"location", b""), (b"content-type", b"text/html")], True, BodyUse.READ),
        (200, [(b"refresh", b"0;url=/x"), (b"content-type", b"text/html")], True, BodyUse.DRAIN),
        (200, [(b"content-type", b"Text/HTML; charset=x")], True, BodyUse.READ),
        (200, [(b"content-type", b"text/html")], False, BodyUse.SKIP),
        (200, [], True, BodyUse.READ),
        (200, [(b"content-type", b"application/xhtml+xml")], True, BodyUse.READ),
        (200, [(b"content-type", b"application/json")], True, BodyUse.SKIP),
        (204, [(b"content-type", b"text/html")], True, BodyUse.SKIP),
        (404, [(b"content-type", b"text/html")], True, BodyUse.READ),
    ],
)
def test_what_a_body_is_good_for(
    status: int, headers: list[tuple[bytes, bytes]], follow_html: bool, plan: BodyUse
) -> None:
    assert redirects.body_plan(status, by_name(headers), follow_html=follow_html) is plan


def by_the_standard(text: str) -> Refresh | None:  # noqa: C901 - as long as the text it follows
    """Parses a refresh step by step as the HTML standard writes it down: slow, and plain to compare with the text."""
    whitespace = "\t\n\f\r "
    position = 0

    def skip() -> None:
        nonlocal position
        while position < len(text) and text[position] in whitespace:
            position += 1

    skip()
    digits = ""
    while position < len(text) and text[position] in "0123456789":
        digits += text[position]
        position += 1
    if not digits and not (position < len(text) and text[position] == "."):
        return None
    delay = int(digits or "0")
    while position < len(text) and text[position] in "0123456789.":
        position += 1
    if position < len(text):
        if text[position] not in ";," + whitespace:
            return None
        skip()
        if position < len(text) and text[position] in ";,":
            position += 1
        skip()
    url = text[position:]
    quotes = True
    for letter in ("Uu", "Rr", "Ll"):
        if position < len(text) and text[position] in letter:
            position += 1
            continue
        break
    else:
        skip()
        if position < len(text) and text[position] == "=":
            position += 1
            skip()
            url = text[position:]
        else:
            quotes = False
    if quotes and url[:1] in {"'", '"'}:
        quote, url = url[0], url[1:]
        url = url.partition(quote)[0]
    return Refresh(delay, url)


@given(st.text(st.sampled_from("0195.,;= \t\n\f\ruRLlx'\"/?é"), max_size=20))
@example("1; url")
@example("1;url='a\"b'c")
@example(".")
@example("0.5,'u'")
def test_a_refresh_is_parsed_as_the_standard_says(text: str) -> None:
    assert redirects.parse_refresh(text) == by_the_standard(text)


@given(st.text(max_size=80))
def test_parsing_a_refresh_never_raises(text: str) -> None:
    redirects.parse_refresh(text)


def test_a_delay_of_a_million_digits_costs_nothing() -> None:
    found = redirects.parse_refresh("9" * 1_000_000 + ";url=/x")
    assert found is not None
    assert found.delay > redirects.LONGEST_DELAY


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([(b"cf-mitigated", b"challenge")], True),
        ([(b"cf-mitigated", b"Challenge")], True),
        ([(b"cf-mitigated", b"")], False),
        ([(b"x-amzn-waf-action", b"captcha")], True),
        ([(b"x-amzn-waf-action", b"allow")], False),
        ([(b"server", b"cloudflare")], False),
        ([], False),
    ],
)
def test_what_a_challenge_says_of_itself(headers: list[tuple[bytes, bytes]], expected: bool) -> None:
    assert redirects.is_challenge(by_name(headers)) is expected
