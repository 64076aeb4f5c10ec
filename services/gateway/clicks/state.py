"""A click on its way: what has been found out so far, and the record of it at any moment."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property

from opentelemetry import trace

from services.gateway.clicks.identity import click_identity
from services.gateway.clicks.privacy import Privacy
from services.gateway.model import (
    Answer,
    Attempt,
    Click,
    ClickRecord,
    ClickStatus,
    Hop,
    Offer,
    Outcome,
    ParameterSource,
    WalkResult,
)


class Walk:
    """The walk of one click; shared with those that are the same click."""

    def __init__(self, click_id: str) -> None:
        """Begins the walk of a click."""
        self.click_id = click_id
        self.hops: list[Hop] = []
        self.result: WalkResult | None = None
        self.failure = ""
        """Why there is no result, UPPER_SNAKE; empty if there is one, or it is not over."""
        self.ended = asyncio.Event()

    def end(self, result: WalkResult | None, failure: str) -> None:
        """Notes that no more will come."""
        self.result = result
        self.failure = failure
        self.ended.set()


class RunningClick:
    """Gathers the facts of one click; `ended` is set once when its trace is over, however that came."""

    def __init__(self, click: Click, offer: Offer, *, give_up_after: float, privacy: Privacy) -> None:
        """Begins a click whose record means ABANDONED if it is still unfinished after `give_up_after` seconds."""
        self.click = click
        self.offer = offer
        self.ended = asyncio.Event()
        self.walk = Walk(click.click_id)
        self.result: WalkResult | None = None
        self.failure = ""
        """Why there is no landing page to send anybody to, UPPER_SNAKE; empty if there is one or it is not over."""
        self.is_late = False
        """Whether the trace ended only after the visitor was answered, or had left."""
        self.attempts: list[Attempt] = []
        self._visitor_address = privacy.address(click.address)
        self._user_agent = privacy.user_agent(click.user_agent)
        self._give_up_time = click.start_time + timedelta(seconds=give_up_after)
        self._version = 0
        self._traced = True
        self._end_time: datetime | None = None
        self._answer: Answer | None = None
        self._reason = ""
        self._location = ""
        self._params: Sequence[ParameterSource] = ()
        self._visitor_wait: float | None = None
        context = trace.get_current_span().get_span_context()
        self._otel_trace_id = trace.format_trace_id(context.trace_id) if context.trace_flags.sampled else ""

    @cached_property
    def identity(self) -> str | None:
        """What makes another click the same as this one; None if nothing does, or the offer joins none."""
        click = self.click
        if self.offer.join_window <= 0:
            return None
        return click_identity(self.offer, click.inbound, click.address, click.user_agent)

    @property
    def is_joined(self) -> bool:
        """Says whether another click walks for this one."""
        return self.walk.click_id != self.click.click_id

    @property
    def is_answered(self) -> bool:
        """Says whether the visitor has an answer."""
        return self._answer is not None

    @property
    def answer(self) -> Answer | None:
        """What the visitor was answered with; None before that."""
        return self._answer

    @property
    def exit_ip(self) -> str:
        """The address of the last IP that was tried; empty if none was."""
        return self.attempts[-1].ip_address if self.attempts else ""

    def begin_attempt(self, attempt: Attempt) -> None:
        """Notes that an IP was leased."""
        self.attempts.append(attempt)

    def end_attempt(self, outcome: Outcome, *, trace_time: float, reason: str) -> None:
        """Notes how the use of the last IP went."""
        self.attempts[-1] = self.attempts[-1]._replace(outcome=outcome, trace_time=trace_time, failure_reason=reason)

    def amend_attempt(self, *, reason: str) -> None:
        """Notes what became known only after the use of the last IP had ended."""
        self.attempts[-1] = self.attempts[-1]._replace(failure_reason=reason)

    def end(self, result: WalkResult | None, failure: str) -> None:
        """Notes that no more will come of the trace."""
        self.result = result
        self.failure = failure
        self.is_late = self.is_answered or bool(self._reason)
        self._end_time = datetime.now(UTC)
        self.ended.set()
        if not self.is_joined:
            self.walk.end(result, failure)

    def not_traced(self) -> None:
        """Notes that this click is answered without a trace."""
        self._traced = False
        self.end(None, "")

    def answered(
        self, answer: Answer, *, location: str, params: Sequence[ParameterSource], reason: str, wait: float
    ) -> None:
        """Notes what the visitor is answered with."""
        self._answer = answer
        self._location = location
        self._params = params
        self._reason = reason
        self._visitor_wait = wait

    def visitor_left(self) -> None:
        """Notes that the visitor went away before there was an answer."""
        self._reason = "VISITOR_LEFT"

    def record(self) -> ClickRecord:
        """Returns all of this as it is now; each call has a higher version than the one before."""
        self._version += 1
        return ClickRecord(
            click_id=self.click.click_id,
            version=self._version,
            offer=self.offer.name,
            status=self._status(),
            start_time=self.click.start_time,
            give_up_time=self._give_up_time,
            inbound_query=self.click.query,
            answer=self._answer,
            reason=self._reason or self.failure,
            visitor_wait=self._visitor_wait,
            end_time=self._end_time,
            location=self._location,
            final_url=self.result.final_url if self.result else "",
            stop_reason=self.result.stop_reason if self.result else "",
            attempts=tuple(self.attempts),
            hops=() if self.is_joined else tuple(self.walk.hops),
            params=self._params,
            joined_click_id=self.walk.click_id if self.is_joined else "",
            otel_trace_id=self._otel_trace_id,
            visitor_address=self._visitor_address,
            user_agent=self._user_agent,
            webhook_url=self.offer.webhook_url if self.is_late else "",
        )

    def _status(self) -> ClickStatus:
        if not self._traced:
            return ClickStatus.NOT_TRACED
        if not self.ended.is_set():
            return ClickStatus.PENDING if self._answer is None else ClickStatus.TRACING
        landed = self.result is not None and not self.result.failure_reason
        return ClickStatus.COMPLETED if landed else ClickStatus.FAILED
