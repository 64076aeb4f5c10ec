"""Checks every field of a request, before any database work, and reports all violations at once.

Values come as the wire has them; None stands for a field that was left out. Each function returns the request of the
model, or raises INVALID_ARGUMENT/INVALID_REQUEST with every violation; tokens that cannot be ours raise
NOT_FOUND/UNKNOWN_LEASE.
"""

import re

from libs.common.errors import Violation, invalid_request
from libs.common.validation.countries import country_fault
from services.pool_manager.model.errors import not_held
from services.pool_manager.model.leases import (
    HeartbeatRequest,
    LeaseRequest,
    LeaseToken,
    NotHeld,
    Outcome,
    ReleaseRequest,
)

MAX_BATCH = 1000
MAX_TEXT = 128
DEFAULT_TTL = 30.0
MAX_PAGE = 1000
DEFAULT_PAGE = 100

_TTL = (1.0, 600.0)
_WAIT = (0.0, 60.0)
_TRACE_TIME = (0.0, 86_400.0)
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}

# Names are for logs, dashboards and SQL consoles: nothing that could end a line or a literal there.
_NAME = re.compile(r"""[^\x00-\x1f\x7f-\x9f\u2028\u2029'"`\\]*""")


def lease_request(
    *,
    request_id: str,
    country: str,
    offer: str,
    holder: str,
    ttl: float | None,
    wait: float | None,
    click_id: str = "",
    asks_again: bool = False,
) -> LeaseRequest:
    """Checks a LeaseRequest; spans of time are in seconds."""
    faults: list[Violation] = []
    if not request_id:
        faults.append(Violation("request_id", f"is empty; give 1 to {MAX_TEXT} characters"))
    check_name(faults, "request_id", request_id)
    code = check_country(faults, "country", country) if country else ""
    check_name(faults, "offer", offer)
    check_name(faults, "holder", holder)
    check_name(faults, "click_id", click_id)
    ttl = check_span(faults, "ttl", DEFAULT_TTL if ttl is None else ttl, _TTL)
    wait = check_span(faults, "wait", 0.0 if wait is None else wait, _WAIT)
    if faults:
        raise invalid_request(faults)
    return LeaseRequest(request_id, code, offer, holder, ttl, wait, click_id, asks_again=asks_again)


def heartbeat_request(lease_id: str, fence: int, ttl: float | None) -> HeartbeatRequest:
    """Checks a HeartbeatRequest; `ttl` is in seconds."""
    faults: list[Violation] = []
    token = _check_lease(faults, lease_id, fence)
    ttl = check_span(faults, "ttl", DEFAULT_TTL if ttl is None else ttl, _TTL)
    if faults:
        raise invalid_request(faults)
    return HeartbeatRequest(_proved(token, fence), ttl)


def release_request(
    *,
    lease_id: str,
    fence: int,
    outcome: str,
    failure_reason: str,
    trace_time: float | None,
    size: int,
    click_id: str = "",
) -> ReleaseRequest:
    """Checks a ReleaseRequest; `outcome` is the name of the enum value, `trace_time` in seconds, `size` in bytes."""
    faults: list[Violation] = []
    token = _check_lease(faults, lease_id, fence)
    ended = _OUTCOMES.get(outcome)
    if ended is None:
        faults.append(Violation("outcome", f"must be one of {', '.join(_OUTCOMES)}"))
    check_name(faults, "failure_reason", failure_reason)
    check_name(faults, "click_id", click_id)
    if trace_time is not None:
        check_span(faults, "trace_time", trace_time, _TRACE_TIME)
    if size < 0:
        faults.append(Violation("bytes", f"is {size}; give 0 or more"))
    if faults or ended is None:
        raise invalid_request(faults)
    return ReleaseRequest(_proved(token, fence), ended, failure_reason, trace_time, size, click_id)


def batch_size(size: int) -> None:
    """Checks how many items a batch has."""
    if not 1 <= size <= MAX_BATCH:
        raise invalid_request([Violation("requests", f"has {size} items; give 1 to {MAX_BATCH}")])


def page(faults: list[Violation], size: int, token: str, first: int) -> tuple[int, int]:
    """Checks a page's size (0: 100) and token (empty: the first page), and returns its size and where it starts."""
    if not 0 <= size <= MAX_PAGE:
        faults.append(Violation("page_size", f"is {size}; give 1 to {MAX_PAGE}, or leave it out for {DEFAULT_PAGE}"))
    if token and not (token.isascii() and token.isdecimal() and len(token) <= 19 and int(token) < 2**63):
        faults.append(Violation("page_token", "is not the next_page_token of a page before"))
        return size, first
    return size or DEFAULT_PAGE, int(token) if token else first


def check_name(faults: list[Violation], field: str, value: str, limit: int = MAX_TEXT) -> None:
    """Checks a text that people will read."""
    if len(value) > limit:
        faults.append(Violation(field, f"has {len(value)} characters; give at most {limit}"))
    elif value and not _NAME.fullmatch(value):
        faults.append(Violation(field, "holds a control character, a quote or a backslash"))


def check_country(faults: list[Violation], field: str, value: str) -> str:
    """Checks a country and returns it in lower case."""
    code = value.lower() if len(value) == 2 else value
    if fault := country_fault(code):
        faults.append(Violation(field, fault))
    return code


def check_span(faults: list[Violation], field: str, value: float, limits: tuple[float, float]) -> float:
    """Checks a span of time in seconds and returns it."""
    low, high = limits
    if not low <= value <= high:
        faults.append(Violation(field, f"is {value:g} s; give {low:g} s to {high:g} s"))
    return value


def _check_lease(faults: list[Violation], lease_id: str, fence: int) -> LeaseToken | None:
    """Checks what proves a lease, and returns the token if it can be one of ours."""
    token = LeaseToken.parse(lease_id)
    if token is None:
        if not lease_id:
            faults.append(Violation("lease_id", "is empty; give the one of the Lease response"))
        check_name(faults, "lease_id", lease_id)
    if fence < 0:
        faults.append(Violation("fence", f"is {fence}; give the one of the Lease response"))
    return token


def _proved(token: LeaseToken | None, fence: int) -> LeaseToken:
    if token is None:
        raise not_held(NotHeld.UNKNOWN)
    if token.fence != fence:
        raise not_held(NotHeld.LOST)
    return token
