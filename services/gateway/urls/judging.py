"""Judges by its status whether the page at the end of a chain is a landing; pure rules."""

from services.gateway.model import Blame, BlockedLanding, Offer, WalkResult

LANDING = "LANDING"
"""The stop reason of a chain that ended on a page."""
BLOCKED = "LANDING_BLOCKED"
"""The stop reason of a chain that ended on a page which keeps robots out: its URL is right, a person gets the page."""
HTTP_ERROR = "LANDING_HTTP_ERROR"
"""The stop reason of a chain that ended on an error page."""

_LEAST_ERROR = 400
# Statuses that sites answer to robots. A 503 is one only with the marker of a challenge.
_BLOCKING = (401, 403, 429)
_BLOCKING_IF_CHALLENGED = 503


def judged(offer: Offer, result: WalkResult) -> WalkResult:
    """Returns the result of a walk with the page at its end judged by its status.

    A page that keeps robots out becomes LANDING_BLOCKED, which is a failure only if the offer wants the fallback for
    it. Every other status of 400 or more becomes the failure LANDING_HTTP_ERROR. Neither happens to a status that the
    offer takes for that of a landing.
    What a proxy forwarded is not judged here: the tracer has said already that nobody can tell whose page it is.
    """
    status = result.final_status
    if result.failure_reason or result.stop_reason != LANDING or status < _LEAST_ERROR:
        return result
    if status in offer.landing_statuses:
        return result
    if status in _BLOCKING or (status == _BLOCKING_IF_CHALLENGED and result.challenged):
        if offer.blocked_landing is BlockedLanding.USE:
            return result._replace(stop_reason=BLOCKED)
        return _failed(result, BLOCKED)
    return _failed(result, HTTP_ERROR)


def is_blocked(result: WalkResult | None) -> bool:
    """Returns whether a walk ended on a page that keeps robots out, whatever the offer wants for it."""
    return result is not None and result.stop_reason == BLOCKED


def _failed(result: WalkResult, reason: str) -> WalkResult:
    return result._replace(stop_reason=reason, failure_reason=reason, blame=Blame.TARGET, target_reached=True)
