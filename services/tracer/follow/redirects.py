"""Finds where a response leads by its status and headers, as browsers do.

Sources: the Fetch standard (redirect statuses, location URL), the HTML standard (shared declarative refresh steps), RFC
9110 10.2.2 (fragments). Pure: bytes in, decisions out.
"""

import enum
import re
from dataclasses import dataclass
from typing import NamedTuple

from services.tracer.follow import urls
from services.tracer.follow.urls import Url
from services.tracer.model.exchange import BodyUse, Headers
from services.tracer.model.report import HopKind

REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})

# A browser creates no document for these, so nothing in them can lead on.
_NO_DOCUMENT = frozenset({101, 204, 205, 304})

LONGEST_DELAY = 10
"""Seconds; a page whose refresh waits longer is meant to be read."""

APP_SCHEMES = frozenset(
    {
        "intent", "android-app", "market", "itms", "itms-apps", "itms-appss", "itmss",
        "tel", "sms", "skype", "whatsapp", "viber", "tg", "fb", "fb-messenger",
        "twitter", "instagram", "snapchat", "tiktok", "snssdk1128", "line", "weixin", "alipays", "comgooglemaps",
        "googlechrome", "googlechromes", "youtube", "vnd.youtube", "spotify", "steam", "zoommtg",
    }
)  # fmt: skip
"""Schemes that open an app; any other scheme but http and https ends a chain as unsupported."""


class Dead(enum.Enum):
    """Why a response that means to lead on cannot."""

    CONFLICTING_LOCATION = enum.auto()
    INVALID_LOCATION = enum.auto()


class Lead(NamedTuple):
    """Where a response leads."""

    url: Url
    kind: HopKind
    snippet: str = ""
    referrer_policy: str = ""
    """The policy that the page itself declares, for a lead inside a page; empty without one."""


@dataclass(frozen=True, slots=True)
class DeadEnd:
    """A response that means to lead on and cannot."""

    why: Dead
    target: str
    """The target as it was written."""


def from_headers(status: int, headers: Headers, base: Url, *, reload_may_differ: bool) -> Lead | DeadEnd | None:
    """Returns where the status and headers lead: by Location, else by Refresh; None if nowhere.

    `reload_may_differ` tells whether loading the same URL again could give another response.
    """
    if status in REDIRECT_STATUSES:
        locations = headers.get(b"location", ())
        if len(set(locations)) > 1:
            return DeadEnd(Dead.CONFLICTING_LOCATION, "")
        if any(locations):
            return _resolved(locations[0], base)
    refresh = refresh_of(status, headers)
    if refresh is None:
        return None
    return follow_refresh(refresh, base, base, HopKind.REFRESH_HEADER, reload_may_differ=reload_may_differ)


def refresh_of(status: int, headers: Headers) -> "Refresh | None":
    """Returns the refresh that the headers ask for; None without one, and where there is no page to refresh."""
    values = headers.get(b"refresh")
    if not values or not creates_document(status, headers):
        return None
    # The standard reads the header as latin-1; escaping its bytes keeps UTF-8, as it does in a Location.
    return parse_refresh(urls.escape(values[0]))


def _resolved(location: bytes, base: Url) -> Lead | DeadEnd:
    target = urls.parse_bytes(location, base)
    if target is None:
        return DeadEnd(Dead.INVALID_LOCATION, urls.escape(location))
    return Lead(inherit_fragment(target, base), HopKind.LOCATION)


def inherit_fragment(target: Url, base: Url) -> Url:
    """Gives a redirect target the fragment of the URL that redirected, unless it has one (RFC 9110 10.2.2)."""
    if target.fragment is None and base.fragment is not None and target.scheme in urls.WEB_SCHEMES:
        return target.with_fragment(base.fragment)
    return target


def creates_document(status: int, headers: Headers) -> bool:
    """Returns whether a browser shows the response as a page; it does not for a download or an empty response."""
    if status in _NO_DOCUMENT:
        return False
    disposition = headers.get(b"content-disposition")
    return not (disposition and disposition[0].lower().startswith(b"attachment"))


def is_challenge(headers: Headers) -> bool:
    """Returns whether a response asks the visitor to prove that he is no robot.

    Sources: Cloudflare's documentation of `cf-mitigated`, that of AWS WAF for `x-amzn-waf-action`.
    """
    return any(
        name in headers and headers[name][0].lower() in {b"challenge", b"captcha"}
        for name in (b"cf-mitigated", b"x-amzn-waf-action")
    )


def body_plan(status: int, headers: Headers, *, follow_html: bool) -> BodyUse:
    """Returns what the body of a response is used for, once its headers are known."""
    if status in REDIRECT_STATUSES and any(headers.get(b"location", ())):
        return BodyUse.DRAIN
    if not creates_document(status, headers):
        return BodyUse.SKIP
    refresh = refresh_of(status, headers)
    if refresh is not None and refresh.delay <= LONGEST_DELAY and refresh.target:
        return BodyUse.DRAIN
    return BodyUse.READ if follow_html and may_be_html(headers) else BodyUse.SKIP


def may_be_html(headers: Headers) -> bool:
    """Returns whether a body may be HTML: by its type, or because it has none and a browser would sniff."""
    types = headers.get(b"content-type")
    essence = types[-1].partition(b";")[0].strip().lower() if types else b""
    return essence in {b"", b"*/*", b"unknown/unknown", b"application/unknown", b"text/html", b"application/xhtml+xml"}


@dataclass(frozen=True, slots=True)
class Refresh:
    """A parsed refresh: its delay in seconds, and its target; an empty target is the page itself."""

    delay: int
    target: str


_SPACE = "\t\n\f\r "
_DELAY = re.compile(r"[\t\n\f\r ]*(\d*)(\.?)[\d.]*", re.ASCII)
_URL_WORD = re.compile(r"url[\t\n\f\r ]*=[\t\n\f\r ]*", re.IGNORECASE | re.ASCII)


def parse_refresh(text: str) -> Refresh | None:
    """Parses the value of a Refresh header or of a meta refresh; None if it is no refresh.

    Follows the "shared declarative refresh steps" of the HTML standard up to the parsing of the URL.
    """
    match = _DELAY.match(text)
    if match is None or not (match[1] or match[2]):
        return None
    # More digits than any delay needs would only cost time to convert.
    delay = int(match[1][:18] or "0")
    rest = text[match.end() :]
    if rest and rest[0] not in ";," + _SPACE:
        return None
    rest = rest.lstrip(_SPACE)
    if rest[:1] in {";", ","}:
        rest = rest[1:].lstrip(_SPACE)
    word = _URL_WORD.match(rest)
    if word is not None:
        rest = rest[word.end() :]
    if rest[:1] in {"'", '"'}:
        rest = rest[1:].partition(rest[0])[0]
    return Refresh(delay, rest)


def follow_refresh(
    refresh: Refresh, document: Url, base: Url, kind: HopKind, *, reload_may_differ: bool, snippet: str = ""
) -> Lead | DeadEnd | None:
    """Returns where a refresh leads from a document; None if it waits too long, runs a script, or only reloads.

    A page that reloads itself is a landing, unless it has just set a cookie (`reload_may_differ`): then it may be
    testing whether cookies work before it leads on.
    """
    if refresh.delay > LONGEST_DELAY:
        return None
    target = urls.parse(refresh.target, base) if refresh.target.strip(_SPACE) else document
    if target is None:
        return DeadEnd(Dead.INVALID_LOCATION, refresh.target)
    if target.scheme == "javascript" or (target.href == document.href and not reload_may_differ):
        return None
    return Lead(target, kind, snippet)
