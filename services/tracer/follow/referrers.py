"""Computes the Referer header of a request by the Referrer Policy standard.

Only a page is a referrer: a refresh and a script redirect name the page that contains them. The first request of a walk
has none, and a `Location` passes on the referrer of its own request, judged anew against the new target.
"""

from dataclasses import dataclass

from services.tracer.follow.urls import Url
from services.tracer.model.exchange import Headers

DEFAULT_POLICY = "strict-origin-when-cross-origin"
_LONGEST = 4096
"""Characters; of a longer referrer only the origin is sent."""

_POLICIES = frozenset(
    {
        "no-referrer",
        "no-referrer-when-downgrade",
        "same-origin",
        "origin",
        "strict-origin",
        "origin-when-cross-origin",
        DEFAULT_POLICY,
        "unsafe-url",
    }
)
# The words a meta element may use instead (HTML standard, "referrer" metadata name).
_LEGACY = {
    "never": "no-referrer",
    "default": DEFAULT_POLICY,
    "always": "unsafe-url",
    "origin-when-crossorigin": "origin-when-cross-origin",
}


@dataclass(frozen=True, slots=True)
class Referrer:
    """The page that a request came from, and the policy that limits what is sent of it."""

    page: Url
    policy: str


def policy_of_headers(headers: Headers) -> str:
    """Returns the policy that a response declares in its headers: the last known one; empty without one."""
    words = [
        word.strip().lower()
        for value in headers.get(b"referrer-policy", ())
        for word in value.decode("latin-1").split(",")
    ]
    return next((word for word in reversed(words) if word in _POLICIES), "")


def policy_of_meta(content: str) -> str:
    """Returns the policy that a meta element declares; empty for an unknown word."""
    word = content.strip("\t\n\f\r ").lower()
    word = _LEGACY.get(word, word)
    return word if word in _POLICIES else ""


def header_value(referrer: Referrer | None, target: Url) -> str:
    """Returns the value of the Referer header for a request to `target`; empty if none is sent."""
    if referrer is None:
        return ""
    page, policy = referrer.page, referrer.policy
    full = page.public.partition("#")[0]
    origin = f"{page.scheme}://{page.authority}/"
    if len(full) > _LONGEST:
        full = origin
    same_origin = page.origin == target.origin
    downgrade = page.scheme == "https" and target.scheme != "https"
    by_policy = {
        "no-referrer": "",
        "no-referrer-when-downgrade": "" if downgrade else full,
        "same-origin": full if same_origin else "",
        "origin": origin,
        "strict-origin": "" if downgrade else origin,
        "origin-when-cross-origin": full if same_origin else origin,
        "strict-origin-when-cross-origin": full if same_origin else "" if downgrade else origin,
        "unsafe-url": full,
    }
    return by_policy[policy]
