"""Log lines of leases: one when a click gets an IP, and one when the IP comes back.

Only leases for a click are logged, so that a click can be followed through all services by its id; every lease is in
`ListLeases` anyway.
"""

from libs.common.errors import ClicktraceError
from libs.common.process import logs
from services.pool_manager.model.leases import Grant, LeaseRequest, Released, ReleaseRequest

log = logs.get(__name__)


def leased(request: LeaseRequest, answer: Grant | ClicktraceError) -> None:
    """Logs the answer to a request for an IP."""
    if not request.click_id:
        return
    if isinstance(answer, Grant):
        log.info(
            "lease.granted",
            click_id=request.click_id,
            offer=request.offer,
            lease_id=str(answer.token),
            ip_address=answer.proxy.ip_address,
            provider=answer.proxy.provider,
            country=answer.proxy.country,
        )
    else:
        log.info(
            "lease.refused",
            click_id=request.click_id,
            offer=request.offer,
            country=request.country,
            reason=answer.reason,
            retry_after=answer.retry_after,
        )


def released(request: ReleaseRequest, answer: Released | ClicktraceError) -> None:
    """Logs the answer to a release."""
    if not request.click_id:
        return
    log.info(
        "lease.released",
        click_id=request.click_id,
        lease_id=str(request.token),
        outcome=request.outcome.name,
        reason=request.failure_reason or None,
        refused=answer.reason if isinstance(answer, ClicktraceError) else None,
    )
