"""A record that is written and read is the same; one of an older build is read with what it lacks left empty."""

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.db.click_rows import record_from_row, record_to_json
from services.gateway.model import Attempt, ClickRecord, ClickStatus, Hop, Origin, Outcome, ParameterSource

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EMPTY = ClickRecord("0" * 32, 1, "demo", ClickStatus.PENDING, NOW, NOW, "")

text = st.text(max_size=4)
number = st.integers(0, 3)
seconds = st.none() | st.sampled_from([0.0, 0.25])
hops = st.builds(
    Hop,
    *(number, text, number, text, text, seconds, seconds, seconds, seconds, seconds, text, st.integers(1, 2)),
    *(text, text, text, number, st.lists(text, max_size=2).map(tuple), text),
)
attempts = st.builds(
    Attempt, text, number, text, number, text, st.just(0.5), seconds, st.none() | st.sampled_from(Outcome), text
)
sources = st.builds(ParameterSource, text, text, st.sampled_from(Origin), st.integers(-1, 2), text)


def row(record: ClickRecord, **changes: Any) -> Any:
    """What the database gives back for a record."""
    entry = record_to_json(record)
    for column in ("attempts", "hops", "params"):
        entry[column] = json.dumps(entry[column])
    return {**entry, "start_time": record.start_time, "give_up_time": record.give_up_time, **changes}


@given(st.lists(hops, max_size=2), st.lists(attempts, max_size=2), st.lists(sources, max_size=2))
def test_a_record_survives_the_way_through_the_database(
    hops: list[Hop], attempts: list[Attempt], sources: list[ParameterSource]
) -> None:
    record = EMPTY._replace(hops=tuple(hops), attempts=tuple(attempts), params=tuple(sources))
    assert record_from_row(row(record)) == record


def test_a_hop_of_an_older_or_newer_build_is_read_as_far_as_this_one_knows_it() -> None:
    older = {
        "index": 1, "url": "http://a/?b", "status": 302, "kind": "LOCATION", "next_url": "http://c/", "dns": None,
        "connect": 0.5, "tls": None, "first_byte": 1.0, "total": 1.5, "error": "", "attempt": 2,
    }  # fmt: skip
    stored = json.dumps([older, {"index": 2, "url": "http://c/", "kind": "TELEPATHY", "quic": True}])
    before = Hop(1, "http://a/?b", 302, "LOCATION", "http://c/", None, 0.5, None, 1.0, 1.5, "", 2)
    newer = Hop(2, "http://c/", 0, "TELEPATHY", "", None, None, None, None, None, "")
    assert record_from_row(row(EMPTY, hops=stored)).hops == (before, newer)


def test_what_a_hop_does_not_have_takes_no_room() -> None:
    hop = Hop(0, "http://a/", 200, "", "", None, None, None, 0.1, 0.2, "")
    (entry,) = record_to_json(EMPTY._replace(hops=(hop,)))["hops"]
    assert entry == {"index": 0, "url": "http://a/", "status": 200, "first_byte": 0.1, "total": 0.2}
