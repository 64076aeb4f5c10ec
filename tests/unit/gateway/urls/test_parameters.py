"""Parameters are money: no byte, no order and no duplicate may be lost, whatever the query and the landing are."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.model import Hop, MergePolicy, Offer, Origin, Parameter, Rename
from services.gateway.urls.parameters import (
    Merged,
    SplitUrl,
    decoded,
    first_value,
    merge,
    merge_own,
    parse,
    serialize,
    take_offer,
    wire_safe,
)

# Few letters, so that names meet often; and all that is awkward: escapes good and bad, pluses, semicolons, brackets.
AWKWARD = "a b A 1 %61 %62 % %2 %zz %26 %3D %20 + ; [] ' ? /"
PIECES = st.sampled_from(AWKWARD.split())
WORDS = st.lists(PIECES, max_size=3).map("".join)
PARAMETERS = st.one_of(
    st.builds(Parameter, WORDS, st.lists(st.one_of(PIECES, st.just("=")), max_size=3).map("".join), st.just(False)),
    st.builds(Parameter, WORDS, st.just(""), no_equals=st.just(True)),
)
QUERIES = st.lists(PARAMETERS, max_size=6)
POLICIES = st.sampled_from(MergePolicy)
FRAGMENTS = st.one_of(st.none(), st.text(alphabet="a/?=&#!", max_size=5))


def offer(policy: MergePolicy = MergePolicy.INBOUND_WINS, **rules: tuple[object, ...]) -> Offer:
    return Offer("demo", "http://t.example/", merge_policy=policy, **rules)  # type: ignore[arg-type]


def landing_of(parameters: Sequence[Parameter], fragment: str | None = None) -> str:
    query = serialize(parameters) if parameters else None
    return str(SplitUrl("https://shop.example/p", query, fragment))


def out(merged: Merged) -> tuple[Parameter, ...]:
    return parse(SplitUrl.of(merged.location).query or "")


def real(parameters: Sequence[Parameter]) -> list[Parameter]:
    """All but the nothing between two ampersands."""
    return [p for p in parameters if p.name or not p.no_equals]


def names(parameters: Sequence[Parameter]) -> set[bytes]:
    return {decoded(p.name) for p in real(parameters)}


@given(st.text(alphabet="ab=&%;+?/[]", max_size=30))
def test_a_query_comes_out_as_it_went_in(query: str) -> None:
    assert serialize(parse(query)) == query


@given(st.binary(max_size=40))
def test_what_goes_into_a_header_is_printable_ascii_and_stands_for_the_same_octets(raw: bytes) -> None:
    safe = wire_safe(raw)
    assert all("!" <= character <= "~" for character in safe)
    if b"%" not in raw and b"+" not in raw:
        assert decoded(safe) == raw


def test_printable_ascii_is_not_touched() -> None:
    every = bytes(range(0x21, 0x7F))
    assert wire_safe(every) == every.decode()


@given(QUERIES, QUERIES, POLICIES, FRAGMENTS)
def test_merging_keeps_bytes_order_and_duplicates_as_the_policy_says(
    inbound: list[Parameter], traced: list[Parameter], policy: MergePolicy, fragment: str | None
) -> None:
    inbound, traced = list(parse(serialize(inbound))), list(parse(serialize(traced)))
    merged = merge(landing_of(traced, fragment), inbound, offer(policy))
    shared = names(inbound) & names(traced)
    traced_lose = shared if policy is MergePolicy.INBOUND_WINS else set()
    inbound_lose = shared if policy is MergePolicy.TRACED_WINS else set()
    expected = [p for p in real(traced) if decoded(p.name) not in traced_lose]
    expected += [p for p in real(inbound) if decoded(p.name) not in inbound_lose]
    assert real(out(merged)) == expected


@given(QUERIES, QUERIES, POLICIES, FRAGMENTS)
def test_the_url_around_the_query_stays(
    inbound: list[Parameter], traced: list[Parameter], policy: MergePolicy, fragment: str | None
) -> None:
    landing = landing_of(traced, fragment)
    location = merge(landing, inbound, offer(policy)).location
    assert location.startswith("https://shop.example/p")
    # The first question mark is the only one that is a delimiter, and the fragment is behind everything.
    assert SplitUrl.of(location).base == "https://shop.example/p"
    assert SplitUrl.of(location).fragment == fragment
    assert not any(character in location for character in "\r\n\t \0")


@given(QUERIES, FRAGMENTS)
def test_without_inbound_parameters_the_landing_stays_as_it_is(traced: list[Parameter], fragment: str | None) -> None:
    landing = landing_of(traced, fragment)
    assert merge(landing, (), offer()).location == landing


@given(QUERIES)
def test_the_query_of_a_click_stands_whole_behind_the_landing_that_has_none_of_its_names(
    inbound: list[Parameter],
) -> None:
    query = serialize(inbound)
    location = merge("https://shop.example/p?zz=1#f", parse(query), offer()).location
    assert location == (f"https://shop.example/p?zz=1&{query}#f" if query else "https://shop.example/p?zz=1#f")


@given(QUERIES, QUERIES, POLICIES)
def test_each_parameter_of_the_answer_has_its_source(
    inbound: list[Parameter], traced: list[Parameter], policy: MergePolicy
) -> None:
    merged = merge(landing_of(traced), inbound, offer(policy))
    assert [(s.name, s.value) for s in merged.sources] == [(p.name, p.value) for p in real(out(merged))]


@given(st.text(max_size=20))
def test_nothing_a_landing_says_can_break_out_of_the_header(tail: str) -> None:
    location = merge(f"https://shop.example/?x={tail}", parse("g=1"), offer()).location
    assert all("!" <= character <= "~" for character in location)


# Any URL there can be, as a tracer may report it, and any query there can be, as it is read from the wire.
URLS = st.builds(
    "https://{}/{}{}{}".format,
    st.sampled_from(
        ["shop.example", "shop.example:8443", "[2001:db8::1]", "user@shop.example", "xn--e1afmkfd.example"]
    ),
    st.text("ab/;=&.~%\\ é\x7f", max_size=8),
    st.one_of(st.just(""), st.text('ab=&%+?/;[]é \t\r\n"<>', max_size=12).map("?{}".format)),
    st.one_of(st.just(""), st.text("ab=&?#/é \n", max_size=6).map("#{}".format)),
)
WIRE_QUERIES = st.binary(max_size=30).map(lambda raw: wire_safe(raw).replace("#", "%23"))


@given(URLS, WIRE_QUERIES, POLICIES)
def test_whatever_the_url_and_the_query_there_is_one_query_in_one_place_and_no_other_header(
    url: str, query: str, policy: MergePolicy
) -> None:
    inbound = parse(query)
    location = merge(url, inbound, offer(policy)).location
    given_url, answer = SplitUrl.of(wire_safe(url.encode())), SplitUrl.of(location)
    assert all("!" <= character <= "~" for character in location)
    assert (answer.base, answer.fragment) == (given_url.base, given_url.fragment)
    if policy is MergePolicy.APPEND:
        # Nothing is dropped, so not one character is added but the one that joins the two.
        both = [part for part in (given_url.query, query) if part]
        assert (answer.query or "") == "&".join(both)
        delimiters = 1 if given_url.query is None and query else 0
        assert location.count("?") == url.count("?") + query.count("?") + delimiters


LISTS = st.lists(st.sampled_from(["a", "b", "A", "1", "ab", "%", ""]), max_size=3, unique=True).map(tuple)


@given(QUERIES, QUERIES, LISTS, LISTS, st.dictionaries(st.sampled_from("abA"), st.sampled_from(["a", "z", "q q"])))
def test_the_lists_of_an_offer_decide_about_traced_parameters_only(
    inbound: list[Parameter],
    traced: list[Parameter],
    allowed: tuple[str, ...],
    denied: tuple[str, ...],
    renamed: dict[str, str],
) -> None:
    inbound, traced = list(parse(serialize(inbound))), list(parse(serialize(traced)))
    rules = offer(
        MergePolicy.APPEND,
        allow_params=allowed,
        deny_params=denied,
        rename_params=tuple(Rename(source, target) for source, target in renamed.items()),
    )
    merged = merge(landing_of(traced), inbound, rules)
    from_chain = [source for source in merged.sources if source.origin is Origin.TRACED]
    from_click = [source for source in merged.sources if source.origin is Origin.INBOUND]
    assert [(source.name, source.value) for source in from_click] == [(p.name, p.value) for p in real(inbound)]
    kept = [
        p
        for p in real(traced)
        if (not allowed or decoded(p.name).decode(errors="replace") in allowed)
        and decoded(p.name).decode(errors="replace") not in denied
    ]
    assert [source.value for source in from_chain] == [p.value for p in kept]
    assert [decoded(source.name) for source in from_chain] == [
        renamed.get(decoded(p.name).decode(errors="replace"), "").encode() or decoded(p.name) for p in kept
    ]


@given(URLS, WIRE_QUERIES)
def test_a_fallback_of_the_offer_keeps_the_clicks_own_parameters_whole(url: str, query: str) -> None:
    merged = merge_own(url, parse(query), offer(deny_params=("a",), allow_params=("b",)))
    assert [(source.name, source.value) for source in merged.sources if source.origin is Origin.INBOUND] == [
        (p.name, p.value) for p in real(parse(query))
    ]


@pytest.mark.parametrize(
    ("landing", "inbound", "policy", "location"),
    [
        ("http://l/?clickid=9", "gclid=1", MergePolicy.INBOUND_WINS, "http://l/?clickid=9&gclid=1"),
        ("http://l/?gclid=1&k=2", "gclid=2", MergePolicy.INBOUND_WINS, "http://l/?k=2&gclid=2"),
        ("http://l/?gclid=1&k=2", "gclid=2&gclid=3", MergePolicy.TRACED_WINS, "http://l/?gclid=1&k=2"),
        ("http://l/?gclid=1", "gclid=1", MergePolicy.APPEND, "http://l/?gclid=1&gclid=1"),
        ("http://l/?gcl%69d=1", "gclid=2", MergePolicy.INBOUND_WINS, "http://l/?gclid=2"),
        ("http://l/?A=1", "a=2", MergePolicy.INBOUND_WINS, "http://l/?A=1&a=2"),
        ("http://l/#/route?x=1", "a=2", MergePolicy.INBOUND_WINS, "http://l/?a=2#/route?x=1"),
        ("http://l/?", "a=2", MergePolicy.INBOUND_WINS, "http://l/?a=2"),
        ("http://l/?", "", MergePolicy.INBOUND_WINS, "http://l/?"),
        ("http://l", "a=%20+%zz", MergePolicy.INBOUND_WINS, "http://l?a=%20+%zz"),
        ("http://l/?x\r\nSet-Cookie: a=b", "a=2", MergePolicy.INBOUND_WINS, "http://l/?x%0D%0ASet-Cookie:%20a=b&a=2"),
        ("http://l/?q=安", "a=2", MergePolicy.INBOUND_WINS, "http://l/?q=%E5%AE%89&a=2"),
    ],
)
def test_examples(landing: str, inbound: str, policy: MergePolicy, location: str) -> None:
    assert merge(landing, parse(inbound), offer(policy)).location == location


def test_traced_parameters_are_allowed_denied_and_renamed_by_their_decoded_names() -> None:
    rules = offer(
        allow_params=("clickid", "sub1", "x"),
        deny_params=("x",),
        rename_params=(Rename("sub1", "aff sub"),),
    )
    merged = merge("http://l/?click%69d=1&x=2&y=3&sub1=%20&sub1=b", parse("y=in&x=in"), rules)
    assert merged.location == "http://l/?click%69d=1&aff%20sub=%20&aff%20sub=b&y=in&x=in"
    assert [source.rule for source in merged.sources] == [
        "traced", "renamed from sub1", "renamed from sub1", "inbound", "inbound",
    ]  # fmt: skip


def test_the_rules_of_traced_parameters_do_not_touch_what_the_offer_itself_says() -> None:
    merged = merge_own("http://t/?aff=7&x=1", parse("x=2"), offer(deny_params=("aff",)))
    assert merged.location == "http://t/?aff=7&x=2"
    assert [source.origin for source in merged.sources] == [Origin.OFFER, Origin.INBOUND]


def test_a_source_names_the_first_hop_that_had_the_value() -> None:
    def hop(index: int, query: str) -> Hop:
        return Hop(index, f"http://h/?{query}#clickid=new", 302, "", "", None, None, None, None, None, "")

    hops = [hop(0, "aff=7"), hop(1, "clickid=old"), hop(2, "clickid=9&aff=7"), hop(3, "clickid=9")]
    merged = merge("http://l/?clickid=9&new=1", parse("aff=7"), offer(), hops)
    assert [(source.name, source.hop_index) for source in merged.sources] == [("clickid", 2), ("new", -1), ("aff", 0)]


@pytest.mark.parametrize(
    ("query", "name", "rest"),
    [
        ("offer=demo&a=1", "demo", "a=1"),
        ("a=1&%6fffer=d%65mo&b", "demo", "a=1&b"),
        ("offer=one&offer=two&a=1", "one", "a=1"),
        ("offer", "", ""),
        ("offer[]=x&Offer=y", None, "offer[]=x&Offer=y"),
        ("", None, ""),
    ],
)
def test_the_offer_is_taken_out_of_the_query(query: str, name: str | None, rest: str) -> None:
    found, others = take_offer(parse(query))
    assert (found, serialize(others)) == (name, rest)


def test_the_first_value_of_a_name_is_found_as_it_stood() -> None:
    assert first_value(parse("b=1&a=%41+&a=2"), "a") == "%41+"
    assert first_value(parse("b=1"), "a") == ""


def test_ten_thousand_parameters_are_merged_in_no_time() -> None:
    query = "&".join(f"p{number}={number}" for number in range(10_000))
    merged = merge(f"http://l/?{query}", parse(query.replace("p1", "q1")), offer(MergePolicy.APPEND))
    assert len(merged.sources) == 20_000
