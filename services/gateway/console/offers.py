"""Renders the table of offers: mode, health, drift, and a button that starts a trace."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from services.gateway.console import wording
from services.gateway.console.markup import Child, Html, el, join
from services.gateway.drift.shape import LEARNED_FROM, Drift, DriftKind
from services.gateway.drift.stats import CLASSES, OfferHealth
from services.gateway.model import Mode, Offer
from services.gateway.offers.stored import UnreadableOffer
from services.gateway.urls.parameters import SplitUrl

MOST_OFFERS = 200
_MOST_DRIFTS = 3
_MOST_UNREADABLE = 5
_BINS = 32
_WORDS = {
    DriftKind.NEW_LANDING_HOST: "new landing host",
    DriftKind.LOST_PARAMETER: "lost parameter",
    DriftKind.BROKEN_HOP: "chain breaks at",
    DriftKind.BLOCKED_LANDING: "robots kept out",
}


def table(
    offers: Sequence[Offer],
    health: Mapping[str, OfferHealth],
    unreadable: Sequence[UnreadableOffer] = (),
    *,
    click_url: str,
) -> Html:
    """Renders offers with their health of the last hour, below a notice of those that this build cannot read.

    `click_url` is the public address, empty if unknown.
    """
    return join([_notice(unreadable) if unreadable else None, _table(offers, health, click_url)])


def _notice(unreadable: Sequence[UnreadableOffer]) -> Html:
    shown = [
        el(
            "li",
            el("b", offer.name),
            " ",
            "; ".join(f"{violation.field}: {violation.description}" for violation in offer.violations),
        )
        for offer in unreadable[:_MOST_UNREADABLE]
    ]
    more = len(unreadable) - len(shown)
    return el(
        "div",
        el("strong", "This gateway cannot read every offer. "),
        "Clicks get the version that it read last, or 404 if it has read none. Write these fields with ",
        el("code", "OfferAdmin/UpdateOffer"),
        ", or run the build that wrote them.",
        el("ul", shown, el("li", f"and {more} more") if more else None),
        class_="notice bad",
    )


def _table(offers: Sequence[Offer], health: Mapping[str, OfferHealth], click_url: str) -> Html:
    if not offers:
        return el("p", "No offers yet. Create one with grpcurl: ", el("code", "OfferAdmin/CreateOffer"), class_="quiet")
    names = ("Offer", "Clicks", "Fallback", "Trace time", "Chain")
    head = el("tr", [el("th", name, scope="col") for name in names], el("th", el("span", "Try it", class_="hidden")))
    return el(
        "table",
        el("caption", "The offers, and how their clicks fared in the last hour", class_="hidden"),
        el("thead", head),
        el("tbody", [_row(offer, health.get(offer.name), click_url) for offer in offers[:MOST_OFFERS]]),
        class_="offers",
    )


def _row(offer: Offer, health: OfferHealth | None, click_url: str) -> Html:
    clicked = health is not None and health.clicks > 0
    return el(
        "tr",
        el("th", offer.name, el("span", _does(offer), class_="does"), scope="row"),
        el("td", str(health.clicks) if health else "0", class_="number"),
        el("td", _share(health) if health and clicked else "–", class_="number"),
        el("td", _times(health) if health and health.traces else "–"),
        el("td", _chain(health)),
        el("td", el("div", _actions(offer, click_url), class_="actions")),
    )


def _does(offer: Offer) -> str:
    country = f" via {offer.country.upper()}" if offer.country else ""
    host = SplitUrl.of(offer.tracking_url).host
    if offer.disabled:
        return "disabled"
    words = {
        Mode.TRACE: f"traces {host}{country}",
        Mode.BEACON: f"beacon, traces {host}{country}",
        Mode.REDIRECT_ONLY: f"redirects to {host}, no permission to trace",
    }
    return words[offer.mode]


def _share(health: OfferHealth) -> Html:
    share = health.fallback_share
    tone = "good" if share < 0.05 else "warn" if share <= 0.25 else "bad"
    return el("span", wording.share(share), class_=f"badge {tone}")


def _times(health: OfferHealth) -> Html:
    """Renders trace times as a histogram, from 1 ms to 3 min on a logarithmic scale."""
    bins = [0] * _BINS
    for number, count in health.times.items():
        bins[int(number) * _BINS // CLASSES] += count
    highest = max(bins)
    bars = [
        el(
            "rect",
            x=f"{100 * place / _BINS:.2f}%",
            width=f"{80 / _BINS:.2f}%",
            y=f"{100 - max(8.0, 100 * count / highest):.0f}%",
            height=f"{max(8.0, 100 * count / highest):.0f}%",
        )
        for place, count in enumerate(bins)
        if count
    ]
    half, most = wording.span(health.trace_time(0.5)), wording.span(health.trace_time(0.99))
    label = f"{health.traces} traces, half within {half}, 99 % within {most}"
    return el(
        "div",
        el("svg", bars, class_="histogram", role="img", aria_label=label),
        el("span", half, el("span", f" · p99 {most}", class_="quiet"), class_="quantiles"),
        class_="times",
    )


def _chain(health: OfferHealth | None) -> Child:
    if health is None or not health.shape.chains:
        return el("span", "no landing yet", class_="quiet")
    if health.drifts:
        return el("ul", [_drift(drift) for drift in health.drifts[:_MOST_DRIFTS]], class_="drifts")
    if health.shape.chains < LEARNED_FROM:
        return el("span", f"learning, {health.shape.chains} of {LEARNED_FROM} chains", class_="quiet")
    return el("span", "as usual", class_="badge good")


def _drift(drift: Drift) -> Html:
    kind = drift.deviation.kind
    words = f"{_WORDS.get(kind) or wording.reason(kind)} {drift.deviation.subject}"
    chains = f"{drift.chains} {'chain' if drift.chains == 1 else 'chains'}"
    return el("li", el("span", words, class_="badge bad"), " ", el("span", chains, class_="quiet"))


def _actions(offer: Offer, click_url: str) -> Sequence[Child]:
    actions: list[Child] = []
    if offer.disabled:
        return actions
    if click_url:
        url = f"{click_url.rstrip('/')}/track-hit?offer={quote(offer.name)}&gclid=console"
        actions.append(el("a", "Click link", href=url, target="_blank", rel="noopener", class_="click-link"))
    if offer.mode is not Mode.REDIRECT_ONLY:
        actions.append(
            el(
                "form",
                el("input", type="hidden", name="offer", value=offer.name),
                el("button", "Trace now", type="submit", aria_label=f"Trace {offer.name} now"),
                method="post",
                action="/console/traces",
                class_="trace-now",
            )
        )
    return actions
