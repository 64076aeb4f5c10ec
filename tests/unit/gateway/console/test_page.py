"""The console's own rules: nothing foreign becomes HTML, sessions cannot be made up, and the picture stays true."""

import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.gateway.console import offers, parts, pool_image, waterfall, wording
from services.gateway.console.markup import Html, el, join
from services.gateway.console.model import Cell, Census, PoolChange
from services.gateway.console.pool_image import PoolImage
from services.gateway.console.rates import Rates
from services.gateway.console.session import LIFETIME, Sessions
from services.gateway.console.viewer import Viewer
from services.gateway.drift.shape import Deviation, Drift, DriftKind, Shape
from services.gateway.drift.stats import OfferHealth
from services.gateway.model import (
    Answer,
    Attempt,
    ClickRecord,
    ClickStatus,
    Hop,
    Mode,
    Offer,
    Origin,
    ParameterSource,
)

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>"


def record(**changes: object) -> ClickRecord:
    base = ClickRecord(
        click_id="0" * 32,
        version=2,
        offer="demo",
        status=ClickStatus.COMPLETED,
        start_time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        give_up_time=datetime(2026, 1, 2, 3, 5, 5, tzinfo=UTC),
        inbound_query="offer=demo&gclid=1",
        answer=Answer.LANDING,
        visitor_wait=0.5,
        end_time=datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC),
        location="http://shop.example/l?clickid=c&gclid=1",
        final_url="http://shop.example/l?clickid=c",
        stop_reason="LANDING",
        attempts=(Attempt("l-1", 1, "192.0.2.1", 8899, "us", 0.1),),
        hops=(
            Hop(0, "http://a.example/x", 302, "LOCATION", "http://b.example/", 0.01, 0.02, None, 0.05, 0.06, ""),
            Hop(1, "http://b.example/", 200, "", "", None, None, None, 0.1, 0.2, ""),
        ),
        params=(
            ParameterSource("clickid", "c", Origin.TRACED, 1, "traced"),
            ParameterSource("gclid", "1", Origin.INBOUND, -1, "inbound"),
        ),
        otel_trace_id="ab" * 16,
    )
    return base._replace(**changes)  # type: ignore[arg-type]


def test_whatever_is_not_html_is_escaped() -> None:
    assert el("p", HOSTILE, title=HOSTILE) == (
        '<p title="&quot;&#x27;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;">'
        "&quot;&#x27;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;</p>"
    )
    assert join(["<b>", el("b", "x"), None, 3]) == "&lt;b&gt;<b>x</b>3"


def test_attributes_without_a_value_and_those_left_out() -> None:
    assert el("input", required=True, autofocus=False, name=None, data_id="1", class_="a") == (
        '<input required data-id="1" class="a">'
    )


def test_hostile_text_reaches_no_page_as_html() -> None:
    hostile = record(
        offer=HOSTILE,
        reason=HOSTILE,
        answer=Answer.FALLBACK,
        location=f"http://x/?a={HOSTILE}",
        stop_reason=HOSTILE,
        joined_click_id=HOSTILE,
        hops=(Hop(0, f"http://{HOSTILE}/{HOSTILE}", 302, HOSTILE, HOSTILE, 0, 0, 0, 0, 1, HOSTILE),),
        params=(ParameterSource(HOSTILE, HOSTILE, Origin.TRACED, 0, HOSTILE),),
        attempts=(Attempt(HOSTILE, 1, HOSTILE, 1, HOSTILE, 0.1, None, None, HOSTILE),),
    )
    for html in (waterfall.click(hostile, jaeger_url=""), parts.click_row(hostile), parts.running([hostile], 2e9)):
        assert "&lt;script&gt;" in html
        assert not re.search(r"<(script|img)", html)
        assert isinstance(html, Html)


def test_a_waterfall_shows_each_phase_and_the_origin_of_each_parameter() -> None:
    html = waterfall.click(record(), jaeger_url="http://jaeger.example/")
    assert re.findall(r'<rect class="(\w+)"', html) == [
        *("lease", "answered"),
        *("dns", "connect", "first", "body", "answered"),
        *("first", "body", "answered"),
        *("answer", "answered"),
    ]
    assert '<mark class="traced">clickid=c</mark>&amp;<mark class="inbound">gclid=1</mark>' in html
    assert f'href="http://jaeger.example/trace/{"ab" * 16}"' in html
    assert "chain, hop 1" in html
    assert "data-ended" in html


def test_no_link_without_a_jaeger_and_no_style_that_the_policy_would_refuse() -> None:
    html = waterfall.click(record(), jaeger_url="")
    assert "Jaeger" not in html
    assert "style=" not in html


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, ("good", "landed")),
        ({"answer": None, "end_time": None, "status": ClickStatus.PENDING}, ("live", "tracing")),
        (
            {"answer": Answer.FALLBACK, "reason": "MAX_WAIT", "status": ClickStatus.TRACING},
            ("warn", "slower than the visitor waits, trace goes on"),
        ),
        (
            {"answer": Answer.FALLBACK, "reason": "NO_AVAILABLE_IP", "status": ClickStatus.FAILED},
            ("bad", "no free IP"),
        ),
        ({"answer": Answer.NO_CONTENT, "reason": "BEACON"}, ("calm", "beacon, landed later")),
        ({"status": ClickStatus.ABANDONED}, ("bad", "abandoned")),
    ],
)
def test_how_a_click_stands(changes: dict[str, object], label: tuple[str, str]) -> None:
    assert parts.tone_and_label(record(**changes)) == label


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0 ms"),
        (0.0012, "1.2 ms"),
        (0.0999, "100 ms"),
        (0.9996, "1.00 s"),
        (12.34, "12.3 s"),
        (99.6, "1 min 40 s"),
        (3700, "1 h 01 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_spans_of_time_in_words(seconds: float | None, text: str) -> None:
    assert wording.span(seconds) == text


def test_a_session_is_good_until_its_end_and_for_its_token_alone() -> None:
    now = [1_000.0]
    sessions = Sessions("token", clock=lambda: now[0])
    cookie = sessions.begin()
    assert sessions.is_good(cookie)
    assert not Sessions("other", clock=lambda: now[0]).is_good(cookie)
    now[0] += LIFETIME + 1
    assert not sessions.is_good(cookie)


@pytest.mark.parametrize("cookie", ["", ".", "9999999999.", "9999999999.00", "x.y", "9" * 5_000, "\udcff.é"])
def test_a_made_up_session_is_refused(cookie: str) -> None:
    assert not Sessions("token").is_good(cookie)


def test_a_session_cannot_be_made_longer() -> None:
    sessions = Sessions("token")
    until, _, signature = sessions.begin().partition(".")
    assert not sessions.is_good(f"{int(until) + 1}.{signature}")


def cell(proxy_id: int, fence: int = 0, state: str = "AVAILABLE") -> Cell:
    return Cell(proxy_id, f"192.0.2.{proxy_id}:1", "us", "p", state, 0.0, None, 0, fence)


def told(*cells: Cell, total: int, gone: tuple[int, ...] = ()) -> PoolChange:
    census = Census("", total, total, 0, 0, 0, 0, 0.0, None)
    return PoolChange(0.0, census, (), cells, gone)


def test_changes_are_taken_once_and_grants_are_counted_by_their_fence() -> None:
    image = PoolImage()
    image.apply(told(cell(1), cell(2), total=2))
    assert image.take_changes() == ([cell(1), cell(2)], [])
    assert image.take_changes() == ([], [])
    image.apply(told(cell(1, 5, "IN_USE"), cell(2), total=2))
    image.apply(told(cell(1, 5, "COOLDOWN"), total=2))
    assert image.take_changes() == ([cell(1, 5, "COOLDOWN")], [])
    assert image.grants == 1
    image.apply(told(total=1, gone=(2,)))
    assert image.take_changes() == ([], [2])


def test_what_a_new_watch_does_not_tell_of_is_gone() -> None:
    image = PoolImage()
    image.apply(told(cell(1), cell(2), cell(3), total=3))
    image.take_changes()
    image.begin()
    image.apply(told(cell(1), total=2))
    assert set(image.cells) == {1, 2, 3}, "the rest may still be told"
    image.apply(told(cell(4), total=2))
    assert image.take_changes() == ([cell(4)], [2, 3])
    image.begin()
    image.apply(told(total=0))
    assert not image.cells


def test_of_a_pool_too_large_to_show_some_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_image, "MOST_CELLS", 2)
    image = PoolImage()
    image.apply(told(cell(1), cell(2), cell(3), cell(4), total=4))
    assert set(image.cells) == {1, 2}
    image.apply(told(cell(2, 1), cell(3, 2), total=4))
    assert image.grants == 2
    image.begin()
    image.apply(told(cell(2, 1), cell(3, 2), cell(4, 3), total=3))
    assert set(image.cells) == {2}


def test_a_late_end_is_no_second_click() -> None:
    rates = Rates()
    rates.sample(0.0, 0)
    rates.click(record(answer=Answer.FALLBACK, version=2))
    rates.click(record(answer=Answer.FALLBACK, version=3))
    rates.click(record(click_id="1" * 32))
    rates.sample(2.0, 4)
    assert (rates.clicks(10), rates.grants(10), rates.fallback_share()) == (1.0, 2.0, 0.5)


def test_demand_counts_the_clicks_that_found_no_ip_and_no_others() -> None:
    rates = Rates()
    rates.sample(0.0, 0)
    for number in range(6):
        rates.click(record(click_id=f"{number:032x}", status=ClickStatus.FAILED, answer=Answer.FALLBACK))
    rates.click(record(click_id="a" * 32, status=ClickStatus.NOT_TRACED))
    rates.click(record(click_id="b" * 32, joined_click_id="a" * 32))
    rates.sample(2.0, 2)
    assert (rates.grants(6), rates.demand(6)) == (1.0, 3.0)
    assert rates.demand(60) == 0.3, "a few clicks after a silence are no rate yet"


def health(**changes: object) -> OfferHealth:
    base = OfferHealth("demo", 100, 7, {"40": 60, "70": 3}, (), Shape(chains=63), "http://shop.example/", 0.0)
    return replace(base, **changes)  # type: ignore[arg-type]


def test_an_offer_shows_how_it_fares() -> None:
    html = offers.table(
        [Offer("demo", "http://track.example/c")], {"demo": health()}, click_url="https://click.example/"
    )
    assert '<span class="badge warn">7.0 %</span>' in html
    assert "as usual" in html
    assert 'aria-label="63 traces, half within' in html
    assert 'href="https://click.example/track-hit?offer=demo&amp;gclid=console"' in html
    assert html.count("<rect") == 2


def test_drift_is_shown_and_stays_text() -> None:
    drift = Drift(Deviation(DriftKind.NEW_LANDING_HOST, HOSTILE, HOSTILE), 0.0, 1.0, 12)
    html = offers.table([Offer("demo", "http://t/")], {"demo": health(drifts=(drift,))}, click_url="")
    assert "new landing host &quot;" in html
    assert "12 chains" in html
    assert "<script" not in html
    assert "Click link" not in html


def test_an_offer_that_may_not_be_traced_offers_no_trace() -> None:
    shown = [Offer("plain", "http://t/", mode=Mode.REDIRECT_ONLY), Offer("off", "http://t/", disabled=True)]
    html = offers.table(shown, {}, click_url="http://c")
    assert "Trace now" not in html
    assert html.count("Click link") == 1


def test_what_is_of_others_is_what_it_was() -> None:
    folder = Path(offers.__file__).parent / "static" / "vendor"
    listed = [line.split() for line in (folder / "SHA256SUMS").read_text().splitlines() if not line.startswith("#")]
    assert {name for _, name in listed} == {path.name for path in folder.iterdir()} - {"SHA256SUMS"}
    for digest, name in listed:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


async def test_a_viewer_that_is_too_slow_gets_the_whole_picture_and_holds_no_more_than_that() -> None:
    viewer = Viewer(lambda: b"whole")
    assert await viewer.take(0) == b"whole"
    viewer.push(b"1")
    viewer.push(b"2")
    assert await viewer.take(0) == b"12"
    assert await viewer.take(0) == b""
    for _ in range(1_000):
        viewer.push(b"x" * 1_000)
    assert len(viewer._frames) == 0
    assert await viewer.take(0) == b"whole"
    viewer.push(b"3")
    assert await viewer.take(0) == b"3"
