"""No target learns more of the page before it than the Referrer Policy standard lets it."""

import pytest

from services.tracer.follow import referrers, urls
from services.tracer.follow.referrers import Referrer

PAGE = "https://user:pw@a.test/page?gclid=x#frag"
FULL, ORIGIN, NOTHING = "https://a.test/page?gclid=x", "https://a.test/", ""


def told(policy: str, page: str, target: str) -> str:
    parsed_page, parsed_target = urls.parse(page), urls.parse(target)
    assert parsed_page is not None
    assert parsed_target is not None
    return referrers.header_value(Referrer(parsed_page, policy), parsed_target)


@pytest.mark.parametrize(
    ("policy", "same_origin", "cross_origin", "downgrade"),
    [
        ("no-referrer", NOTHING, NOTHING, NOTHING),
        ("no-referrer-when-downgrade", FULL, FULL, NOTHING),
        ("same-origin", FULL, NOTHING, NOTHING),
        ("origin", ORIGIN, ORIGIN, ORIGIN),
        ("strict-origin", ORIGIN, ORIGIN, NOTHING),
        ("origin-when-cross-origin", FULL, ORIGIN, ORIGIN),
        ("strict-origin-when-cross-origin", FULL, ORIGIN, NOTHING),
        ("unsafe-url", FULL, FULL, FULL),
    ],
)
def test_every_policy(policy: str, same_origin: str, cross_origin: str, downgrade: str) -> None:
    assert told(policy, PAGE, "https://a.test:443/next") == same_origin
    assert told(policy, PAGE, "https://b.test/") == cross_origin
    assert told(policy, PAGE, "http://b.test/") == downgrade


def test_another_port_or_scheme_is_another_origin() -> None:
    assert told("same-origin", "http://a.test/", "http://a.test:8080/") == NOTHING
    assert told("same-origin", "http://a.test/", "https://a.test/") == NOTHING
    assert told("origin", "http://a.test:8080/x", "http://b.test/") == "http://a.test:8080/"


def test_of_a_long_url_only_the_origin_is_told() -> None:
    assert told("unsafe-url", "http://a.test/" + "x" * 4096, "http://a.test/") == "http://a.test/"


def test_a_walk_comes_from_nowhere() -> None:
    target = urls.parse("http://a.test/")
    assert target is not None
    assert referrers.header_value(None, target) == ""


@pytest.mark.parametrize(
    ("values", "policy"),
    [
        ([], ""),
        ([b"no-referrer"], "no-referrer"),
        ([b"no-referrer, Unsafe-URL, future-word"], "unsafe-url"),
        ([b"origin", b"same-origin"], "same-origin"),
        ([b"never"], ""),
        ([b""], ""),
    ],
)
def test_the_last_known_word_of_the_headers_counts(values: list[bytes], policy: str) -> None:
    assert referrers.policy_of_headers({b"referrer-policy": values}) == policy


@pytest.mark.parametrize(
    ("content", "policy"),
    [(" No-Referrer ", "no-referrer"), ("never", "no-referrer"), ("always", "unsafe-url"), ("x", ""), ("", "")],
)
def test_a_meta_element_may_use_older_words(content: str, policy: str) -> None:
    assert referrers.policy_of_meta(content) == policy
