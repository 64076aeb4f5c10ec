"""The state of one click's trace. Only `tracing` writes to it."""

import asyncio
from datetime import UTC, datetime
from functools import cached_property

from services.gateway.clicks.identity import click_identity
from services.gateway.model import Attempt, Click, Hop, Offer, Outcome, WalkResult


class Walk:
    """Hops and result of the walk for one click, shared by coalesced clicks. Only its creator writes to it."""

    def __init__(self, click_id: str) -> None:
        """Begins the walk of the click `click_id`."""
        self.click_id = click_id
        self.hops: list[Hop] = []
        self.result: WalkResult | None = None
        self.failure = ""
        """Why there is no result, UPPER_SNAKE; empty with a result, or before the end."""
        self.ended = asyncio.Event()

    def end(self, result: WalkResult | None, failure: str) -> None:
        """Ends the walk; no hop follows."""
        self.result = result
        self.failure = failure
        self.ended.set()


class Trace:
    """The trace of one click: its attempts, its walk, and how it ended."""

    def __init__(self, click: Click, offer: Offer) -> None:
        """Begins without a hop, an IP or a result."""
        self.click = click
        self.offer = offer
        self.walk = Walk(click.click_id)
        """The click's own walk, or that of the click that it shares the walk of."""
        self.attempts: list[Attempt] = []
        self.result: WalkResult | None = None
        self.failure = ""
        """Why the visitor cannot be sent to the end of the chain, UPPER_SNAKE; empty if they can, or before the end."""
        self.end_time: datetime | None = None
        """When the trace ended, by this gateway's clock."""
        self.ended = asyncio.Event()

    @cached_property
    def identity(self) -> str | None:
        """What another click has in common with this one if both are the same; None if the click is never shared."""
        click = self.click
        if self.offer.join_window <= 0:
            return None
        return click_identity(self.offer, click.inbound, click.address, click.user_agent)

    @property
    def is_joined(self) -> bool:
        """Whether another click walks for this one."""
        return self.walk.click_id != self.click.click_id

    @property
    def exit_ip(self) -> str:
        """The address of the IP that was tried last; empty if none was."""
        return self.attempts[-1].ip_address if self.attempts else ""

    def begin_attempt(self, attempt: Attempt) -> None:
        """Adds an IP that was leased."""
        self.attempts.append(attempt)

    def end_attempt(self, outcome: Outcome, *, trace_time: float, reason: str) -> None:
        """Completes the last attempt; `trace_time` in seconds."""
        self.attempts[-1] = self.attempts[-1]._replace(outcome=outcome, trace_time=trace_time, failure_reason=reason)

    def amend_attempt(self, *, reason: str) -> None:
        """Replaces the reason of the last attempt, where the cause became known only after its end."""
        self.attempts[-1] = self.attempts[-1]._replace(failure_reason=reason)

    def end(self, result: WalkResult | None, failure: str) -> None:
        """Ends the trace, and the walk if it is the click's own."""
        self.result = result
        self.failure = failure
        self.end_time = datetime.now(UTC)
        self.ended.set()
        if not self.is_joined:
            self.walk.end(result, failure)
