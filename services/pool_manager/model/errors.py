"""The errors that requests for leases end with."""

from libs.common.errors import ClicktraceError, Code
from services.pool_manager.model.leases import LeaseRequest, NotHeld


def no_available_ip(request: LeaseRequest, retry_after: float | None, addition: str = "") -> ClicktraceError:
    """Returns RESOURCE_EXHAUSTED/NO_AVAILABLE_IP; `retry_after` is in seconds, None if no IP can become free."""
    where = f"of country {request.country}" if request.country else "of any country"
    if retry_after is None:
        message = f"the pool has no usable IP {where}"
    else:
        message = f"no IP {where} is free; the next one is in {retry_after:.3f} s"
    if addition:
        message = f"{message}, {addition}"
    return ClicktraceError(Code.RESOURCE_EXHAUSTED, "NO_AVAILABLE_IP", message, retry_after=retry_after)


def not_held(why: NotHeld) -> ClicktraceError:
    """Returns NOT_FOUND/UNKNOWN_LEASE or FAILED_PRECONDITION/LEASE_LOST for a token that proves no live lease."""
    if why is NotHeld.UNKNOWN:
        return ClicktraceError(Code.NOT_FOUND, "UNKNOWN_LEASE", "no such lease was ever granted")
    return ClicktraceError(
        Code.FAILED_PRECONDITION,
        "LEASE_LOST",
        "the lease has expired, was released or revoked, or belongs to another; stop using its IP",
    )
