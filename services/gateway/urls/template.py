"""URL templates of an offer, with the tokens `{gclid}`, `{click_id}`, `{offer}`, `{country}`."""

import re
from collections.abc import Sequence
from urllib.parse import quote

import ada_url

from services.gateway.model import USUAL_IDENTITY_PARAMS, Offer, Parameter
from services.gateway.urls.parameters import SplitUrl, decoded, first_value

_TOKEN = re.compile(r"\{([^{}]*)\}")
_SEPARATORS = re.compile(r"[/?\\]")
_OWN = ("click_id", "offer", "country")


def expand(url: str, offer: Offer, click_id: str, inbound: Sequence[Parameter]) -> str:
    """Returns a URL of the offer with its tokens filled in; a parameter that the click lacks leaves nothing.

    The value of a parameter goes in as it stood on the wire. In a path its "/" and "?" are encoded as well, and dots
    that would lead to the directory above are left out: a visitor must not choose another path or begin the query.
    """
    if "{" not in url:
        return url
    own = {"click_id": click_id, "offer": quote(offer.name, safe=""), "country": offer.country}

    def value(name: str, *, in_path: bool) -> str:
        raw = own[name] if name in own else first_value(inbound, name)
        if not in_path:
            return raw
        # "%2e" is a dot as well (WHATWG URL, 4.4), so these cannot be encoded.
        return "" if decoded(raw).strip(b".") == b"" else _SEPARATORS.sub(lambda match: f"%{ord(match[0]):02X}", raw)

    split = SplitUrl.of(url)
    base = _TOKEN.sub(lambda match: value(match[1], in_path=True), split.base)
    query, fragment = (
        None if part is None else _TOKEN.sub(lambda match: value(match[1], in_path=False), part)
        for part in (split.query, split.fragment)
    )
    return str(SplitUrl(base, query, fragment))


def violations(url: str, identity_params: Sequence[str]) -> list[str]:
    """Lists what is wrong with a URL of an offer; empty if it can be used."""
    known = {*_OWN, *USUAL_IDENTITY_PARAMS, *identity_params}
    unknown = sorted({match[1] for match in _TOKEN.finditer(url)} - known)
    found = []
    if unknown:
        listed = ", ".join(f"{{{name}}}" for name in unknown)
        found.append(f"does not know the token {listed}; known are {', '.join(sorted(known))}")
    if re.search(r"[{}]", _TOKEN.sub("", url)):
        found.append("has a brace that belongs to no token; write %7B or %7D for a plain one")
    if re.search(r"[^\x21-\x7e]", url):
        found.append("has a space, a control character or a character outside ASCII; percent-encode it")
    # A token must not choose the host: the same host must come out whatever stands for it.
    first, second = (_parsed(_TOKEN.sub(filler, url)) for filler in ("a", "1"))
    if first is None or second is None or first.protocol not in ("http:", "https:") or not first.hostname:
        found.append("is no absolute http or https URL")
    elif first.host != second.host:
        found.append("has a token in its host")
    elif first.username or first.password:
        found.append("has user information; it would go to every visitor")
    return found


def _parsed(url: str) -> ada_url.URL | None:
    try:
        return ada_url.URL(url)
    except ValueError:
        return None
