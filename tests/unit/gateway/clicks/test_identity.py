"""The same click has one identity, and different clicks have different ones."""

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.clicks.identity import click_identity
from services.gateway.clicks.ids import new_click_id
from services.gateway.model import Offer
from services.gateway.urls.parameters import parse

OFFER = Offer("demo", "http://t.example/")


def identity(query: str, *, offer: Offer = OFFER, address: str = "192.0.2.1", agent: str = "Mozilla") -> str | None:
    return click_identity(offer, parse(query), address, agent)


def test_a_click_without_an_identifier_has_no_identity() -> None:
    assert identity("") is None
    assert identity("utm=1&gclid=&gclid") is None


def test_other_parameters_and_spelling_do_not_matter() -> None:
    assert identity("gclid=abc") == identity("x=1&gcl%69d=%61bc&y=2")


def test_each_part_matters() -> None:
    others = [
        identity("gclid=abd"),
        identity("fbclid=abc"),
        identity("gclid=abc&fbclid=abc"),
        identity("gclid=abc", address="192.0.2.2"),
        identity("gclid=abc", agent="Other"),
        identity("gclid=abc", offer=Offer("other", "http://t.example/")),
        identity("gclid=abc"),
    ]
    assert len({*others}) == len(others)


def test_the_parameters_of_the_offer_replace_the_usual_ones() -> None:
    own = Offer("demo", "http://t.example/", identity_params=("order",))
    assert identity("gclid=1", offer=own) is None
    assert identity("order=1&gclid=1", offer=own) == identity("order=1&gclid=2", offer=own)


PAIRS = st.tuples(st.text("ab", max_size=3), st.text("ab", max_size=3))


@given(PAIRS, PAIRS)
def test_parts_do_not_run_into_each_other(first: tuple[str, str], second: tuple[str, str]) -> None:
    one, other = (identity("gclid=1", address=address, agent=agent) for address, agent in (first, second))
    assert (one == other) == (first == second)


def test_click_ids_sort_by_time_and_never_repeat() -> None:
    ids = [new_click_id() for _ in range(2_000)]
    assert len({*ids}) == 2_000
    assert [one[:12] for one in ids] == sorted(one[:12] for one in ids)
    assert {len(one) for one in ids} == {32}
    assert {one[12] for one in ids} == {"7"}
    assert {one[16] for one in ids} <= {*"89ab"}
