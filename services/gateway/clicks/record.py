"""Makes the record of a click: a snapshot of its state at one moment. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from services.gateway.clicks.trace import Trace
from services.gateway.model import Answer, ClickRecord, ClickStatus, ParameterSource
from services.gateway.urls import judging

VISITOR_LEFT = "VISITOR_LEFT"
"""The reason of a click whose visitor disconnected before there was an answer."""


class Answered(NamedTuple):
    """The answer that a visitor got."""

    answer: Answer
    location: str
    params: Sequence[ParameterSource]
    reason: str
    """Why the answer is no landing, UPPER_SNAKE; empty for a landing."""
    wait: float
    """How long the visitor waited, in seconds."""


class Kept(NamedTuple):
    """The part of a record that is known from the beginning of a click."""

    give_up_time: datetime
    """When an unfinished record means that its gateway died."""
    visitor_address: str
    user_agent: str
    otel_trace_id: str


def snapshot(
    trace: Trace,
    answered: Answered | None,
    kept: Kept,
    *,
    version: int,
    untraced_time: datetime | None = None,
    visitor_left: bool = False,
    is_late: bool = False,
) -> ClickRecord:
    """Returns the record of a click as it is now.

    Of two records of a click the one with the higher `version` counts. `untraced_time` is when a click was answered
    that gets no trace. `is_late` says that the trace ended after the visitor was answered or had left: such a result
    is sent to the webhook of the offer.
    """
    reason = answered.reason if answered else VISITOR_LEFT if visitor_left else ""
    return ClickRecord(
        click_id=trace.click.click_id,
        version=version,
        offer=trace.offer.name,
        status=_status(trace, answered, is_traced=untraced_time is None),
        start_time=trace.click.start_time,
        give_up_time=kept.give_up_time,
        inbound_query=trace.click.query,
        answer=answered.answer if answered else None,
        reason=reason or trace.failure or _remark(trace),
        visitor_wait=answered.wait if answered else None,
        end_time=untraced_time or trace.end_time,
        location=answered.location if answered else "",
        final_url=trace.result.final_url if trace.result else "",
        stop_reason=trace.result.stop_reason if trace.result else "",
        attempts=tuple(trace.attempts),
        hops=() if trace.is_joined else tuple(trace.walk.hops),
        params=answered.params if answered else (),
        joined_click_id=trace.walk.click_id if trace.is_joined else "",
        otel_trace_id=kept.otel_trace_id,
        visitor_address=kept.visitor_address,
        user_agent=kept.user_agent,
        webhook_url=trace.offer.webhook_url if is_late else "",
    )


def _remark(trace: Trace) -> str:
    """Returns what there is to say of a landing that a visitor is sent to all the same; empty if nothing is."""
    return judging.BLOCKED if judging.is_blocked(trace.result) else ""


def _status(trace: Trace, answered: Answered | None, *, is_traced: bool) -> ClickStatus:
    if not is_traced:
        return ClickStatus.NOT_TRACED
    if not trace.ended.is_set():
        return ClickStatus.PENDING if answered is None else ClickStatus.TRACING
    landed = trace.result is not None and not trace.result.failure_reason
    return ClickStatus.COMPLETED if landed else ClickStatus.FAILED
