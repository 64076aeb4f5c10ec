"""Checks every field of a request, before any database work, and reports all violations at once.

Values come as the wire has them; None stands for a field that was left out. Each function returns the request of the
model, or raises INVALID_ARGUMENT/INVALID_REQUEST with every violation; tokens that cannot be ours raise
NOT_FOUND/UNKNOWN_LEASE.
"""

import re

from libs.common.errors import Violation, invalid_request
from libs.common.validation.countries import country_violation
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
    violations: list[Violation] = []
    if not request_id:
        violations.append(Violation("request_id", f"is empty; give 1 to {MAX_TEXT} characters"))
    check_name(violations, "request_id", request_id)
    code = check_country(violations, "country", country) if country else ""
    check_name(violations, "offer", offer)
    check_name(violations, "holder", holder)
    check_name(violations, "click_id", click_id)
    ttl = check_span(violations, "ttl", DEFAULT_TTL if ttl is None else ttl, _TTL)
    wait = check_span(violations, "wait", 0.0 if wait is None else wait, _WAIT)
    if violations:
        raise invalid_request(violations)
    return LeaseRequest(request_id, code, offer, holder, ttl, wait, click_id, asks_again=asks_again)


def heartbeat_request(lease_id: str, fence: int, ttl: float | None) -> HeartbeatRequest:
    """Checks a HeartbeatRequest; `ttl` is in seconds."""
    violations: list[Violation] = []
    token = _check_lease(violations, lease_id, fence)
    ttl = check_span(violations, "ttl", DEFAULT_TTL if ttl is None else ttl, _TTL)
    if violations:
        raise invalid_request(violations)
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
    violations: list[Violation] = []
    token = _check_lease(violations, lease_id, fence)
    ended = _OUTCOMES.get(outcome)
    if ended is None:
        violations.append(Violation("outcome", f"must be one of {', '.join(_OUTCOMES)}"))
    check_name(violations, "failure_reason", failure_reason)
    check_name(violations, "click_id", click_id)
    if trace_time is not None:
        check_span(violations, "trace_time", trace_time, _TRACE_TIME)
    if size < 0:
        violations.append(Violation("bytes", f"is {size}; give 0 or more"))
    if violations or ended is None:
        raise invalid_request(violations)
    return ReleaseRequest(_proved(token, fence), ended, failure_reason, trace_time, size, click_id)


def batch_size(size: int) -> None:
    """Checks how many items a batch has."""
    if not 1 <= size <= MAX_BATCH:
        raise invalid_request([Violation("requests", f"has {size} items; give 1 to {MAX_BATCH}")])


def page(violations: list[Violation], size: int, token: str, first: int) -> tuple[int, int]:
    """Checks a page's size (0: 100) and token (empty: the first page), and returns its size and where it starts."""
    if not 0 <= size <= MAX_PAGE:
        violations.append(
            Violation("page_size", f"is {size}; give 1 to {MAX_PAGE}, or leave it out for {DEFAULT_PAGE}")
        )
    if token and not (token.isascii() and token.isdecimal() and len(token) <= 19 and int(token) < 2**63):
        violations.append(Violation("page_token", "is not the next_page_token of a page before"))
        return size, first
    return size or DEFAULT_PAGE, int(token) if token else first


def check_name(violations: list[Violation], field: str, value: str, limit: int = MAX_TEXT) -> None:
    """Checks a text that people will read."""
    if len(value) > limit:
        violations.append(Violation(field, f"has {len(value)} characters; give at most {limit}"))
    elif value and not _NAME.fullmatch(value):
        violations.append(Violation(field, "holds a control character, a quote or a backslash"))


def check_country(violations: list[Violation], field: str, value: str) -> str:
    """Checks a country and returns it in lower case."""
    code = value.lower() if len(value) == 2 else value
    if violation := country_violation(code):
        violations.append(Violation(field, violation))
    return code


def check_span(violations: list[Violation], field: str, value: float, limits: tuple[float, float]) -> float:
    """Checks a span of time in seconds and returns it."""
    low, high = limits
    if not low <= value <= high:
        violations.append(Violation(field, f"is {value:g} s; give {low:g} s to {high:g} s"))
    return value


def _check_lease(violations: list[Violation], lease_id: str, fence: int) -> LeaseToken | None:
    """Checks what proves a lease, and returns the token if it can be one of ours."""
    token = LeaseToken.parse(lease_id)
    if token is None:
        if not lease_id:
            violations.append(Violation("lease_id", "is empty; give the one of the Lease response"))
        check_name(violations, "lease_id", lease_id)
    if fence < 0:
        violations.append(Violation("fence", f"is {fence}; give the one of the Lease response"))
    return token


def _proved(token: LeaseToken | None, fence: int) -> LeaseToken:
    if token is None:
        raise not_held(NotHeld.UNKNOWN)
    if token.fence != fence:
        raise not_held(NotHeld.LOST)
    return token
