"""Traces that an operator starts: clicks without a visitor."""

import asyncio
import secrets
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, Protocol

from opentelemetry.trace import SpanKind

from libs.common.errors import ClicktraceError, Code
from libs.common.observability import spans
from services.gateway.clicks.ids import new_click_id
from services.gateway.model import Click, Decision, Mode, Offer
from services.gateway.urls.parameters import parse, take_offer

USER_AGENT = "clicktrace-console"
"""The visitor in the record of such a click."""


class Serves(Protocol):
    """The use case."""

    async def serve(self, click: Click) -> Decision:
        """Returns the answer to a visitor."""
        ...


class Offers(Protocol):
    """Finds offers."""

    async def find(self, name: str) -> Offer:
        """Returns an offer; NOT_FOUND/UNKNOWN_OFFER."""
        ...


class Owner(Protocol):
    """Runs background tasks."""

    def start(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Runs a coroutine as a task."""
        ...


class Trials:
    """Starts traces on demand."""

    def __init__(self, clicks: Serves, offers: Offers, background: Owner) -> None:
        """Every part is owned by the caller."""
        self._clicks = clicks
        self._offers = offers
        self._background = background

    async def start(self, offer_name: str) -> str:
        """Starts a trace of an offer, as a click would, and returns the id of its click.

        Raises NOT_FOUND/UNKNOWN_OFFER, and PERMISSION_DENIED/TRACE_NOT_PERMITTED for an offer that may not be traced.
        """
        offer = await self._offers.find(offer_name)
        if offer.mode is Mode.REDIRECT_ONLY:
            raise ClicktraceError(
                Code.PERMISSION_DENIED,
                "TRACE_NOT_PERMITTED",
                f"the offer {offer.name!r} only redirects: there is no permission to trace its chain",
            )
        # An identifier of its own, so that it joins no other click and its way through the chain can be seen.
        query = f"offer={offer.name}&gclid=console-{secrets.token_hex(4)}"
        click = Click(
            click_id=new_click_id(),
            offer=offer.name,
            query=query,
            inbound=take_offer(parse(query))[1],
            address="",
            user_agent=USER_AGENT,
            accept_language="",
            start_time=datetime.now(UTC),
            started=asyncio.get_running_loop().time(),
        )
        self._background.start(self._serve(click), name=f"trial:{click.click_id}")
        return click.click_id

    async def _serve(self, click: Click) -> None:
        # A trace of its own, as that of a visitor's click: Jaeger shows both alike.
        attributes = {"clicktrace.click_id": click.click_id, "clicktrace.offer": click.offer}
        with spans.root("trial", of=click.click_id, kind=SpanKind.INTERNAL, attributes=attributes):
            await self._clicks.serve(click)
