"""Chooses where a visitor is sent: the landing page if it can be used, else the fallback; pure rules."""

import re
from urllib.parse import urlsplit

from services.gateway.model import Click, Hop, Offer, WalkResult
from services.gateway.urls import template
from services.gateway.urls.parameters import Merged, merge, merge_own

_WEB = ("http", "https")
# An app link never has one of these, whatever a tracer says: they run code or open files in the visitor's browser.
_NEVER = ("javascript", "data", "vbscript", "file", "blob", "about", "view-source", "filesystem", "ws", "wss", "ftp")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)


def refusal(offer: Offer, result: WalkResult) -> str:
    """Returns the UPPER_SNAKE reason why a visitor is not sent to where a walk ended; empty if nothing is wrong."""
    if result.failure_reason:
        return result.failure_reason
    match = _SCHEME.match(result.final_url)
    scheme = match[1].lower() if match else ""
    if scheme in _WEB:
        host = _host(result.final_url)
        if not host:
            return "INVALID_LANDING"
        if offer.landing_hosts and not any(_is_below(host, allowed) for allowed in offer.landing_hosts):
            return "LANDING_NOT_ALLOWED"
        return ""
    if result.stop_reason == "APP_LINK" and scheme and scheme not in _NEVER:
        return "" if offer.allow_app_links else "APP_LINK"
    return "UNSUPPORTED_SCHEME"


def landing(offer: Offer, click: Click, result: WalkResult, hops: list[Hop]) -> Merged:
    """Returns the landing URL with the parameters of the click."""
    return merge(result.final_url, click.inbound, offer, hops)


def last_landing(offer: Offer, click: Click, url: str | None) -> Merged | None:
    """Returns the last landing page with the parameters of the click; None if there is none that can be used."""
    if url is None or refusal(offer, WalkResult(url, "LANDING", 0.0, 0)):
        return None
    return merge(url, click.inbound, offer)


def fallback(offer: Offer, click: Click) -> Merged:
    """Returns where a visitor goes without a landing page: `fallback_url` or the tracking URL, with the click's own."""
    url = template.expand(offer.fallback_url or offer.tracking_url, offer, click.click_id, click.inbound)
    return merge_own(url, click.inbound, offer)


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


def _is_below(host: str, allowed: str) -> bool:
    wanted = allowed.rstrip(".").lower()
    return host == wanted or host.endswith(f".{wanted}")
