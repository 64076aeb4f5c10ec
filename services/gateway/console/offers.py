"""The offers as the console shows them: what they do, how they fare, and a trace on demand."""

from collections.abc import Sequence
from urllib.parse import quote

from services.gateway.console import wording
from services.gateway.console.markup import Child, Html, el
from services.gateway.model import Mode, Offer
from services.gateway.parameters import SplitUrl

_MOST = 200


def table(offers: Sequence[Offer], *, click_url: str, default_wait: float) -> Html:
    """Renders offers; `click_url` is where visitors click, empty if that is not known."""
    if not offers:
        return el("p", "No offers yet. Create one with grpcurl: ", el("code", "OfferAdmin/CreateOffer"), class_="quiet")
    names = ("Offer", "Does", "Visitors wait", "Chain begins at")
    head = el("tr", [el("th", name, scope="col") for name in names], el("th", el("span", "Try it", class_="hidden")))
    return el(
        "table",
        el("thead", head),
        el("tbody", [_row(offer, click_url, default_wait) for offer in offers[:_MOST]]),
        class_="offers",
    )


def _row(offer: Offer, click_url: str, default_wait: float) -> Html:
    return el(
        "tr",
        el("th", offer.name, scope="row"),
        el("td", _does(offer)),
        el("td", wording.span(offer.max_wait or default_wait), class_="number"),
        el("td", SplitUrl.of(offer.tracking_url).host, class_="host"),
        el("td", el("div", _actions(offer, click_url), class_="actions")),
    )


def _does(offer: Offer) -> Child:
    if offer.disabled:
        return el("span", "disabled", class_="badge calm")
    country = f" via {offer.country.upper()}" if offer.country else ""
    words = {
        Mode.TRACE: f"traces{country}",
        Mode.BEACON: f"beacon, traces{country} in the background",
        Mode.REDIRECT_ONLY: "redirects only, no permission to trace",
    }
    return words[offer.mode]


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
