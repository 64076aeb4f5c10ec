"""The table of offers shows health and drift, and no trace that is not permitted."""

from dataclasses import replace

from libs.common.errors import Violation
from services.gateway.console import offers
from services.gateway.drift.shape import Deviation, Drift, DriftKind, Shape
from services.gateway.drift.stats import OfferHealth
from services.gateway.model import (
    Mode,
    Offer,
)
from services.gateway.offers.stored import UnreadableOffer
from tests.unit.gateway.console.samples import HOSTILE


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
    newer = replace(drift, deviation=replace(drift.deviation, kind=DriftKind("GROWN_SLOWER")))
    assert "grown slower &quot;" in offers.table(
        [Offer("demo", "http://t/")], {"demo": health(drifts=(newer,))}, click_url=""
    )


def test_offers_that_cannot_be_read_are_told_with_what_is_wrong() -> None:
    unreadable = [UnreadableOffer(f"{HOSTILE}{number}", (Violation("mode", HOSTILE),)) for number in range(7)]
    html = offers.table([Offer("demo", "http://t/")], {}, unreadable, click_url="")
    assert html.startswith('<div class="notice bad">')
    assert html.count("mode: &quot;") == 5
    assert "and 2 more" in html
    assert "<script" not in html
    assert "<table" in html
    assert "cannot read" not in offers.table([], {}, click_url="")


def test_an_offer_that_may_not_be_traced_offers_no_trace() -> None:
    shown = [Offer("plain", "http://t/", mode=Mode.REDIRECT_ONLY), Offer("off", "http://t/", disabled=True)]
    html = offers.table(shown, {}, click_url="http://c")
    assert "Trace now" not in html
    assert html.count("Click link") == 1
