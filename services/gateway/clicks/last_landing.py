"""Last landing pages of each offer, without the parameters that belong to one visitor."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from libs.common.errors import ClicktraceError
from libs.common.process import logs
from services.gateway.model import FallbackPolicy, Offer
from services.gateway.urls.parameters import SplitUrl, parse, serialize

log = logs.get(__name__)


class Offers(Protocol):
    """Lists offers."""

    def all(self) -> Sequence[Offer]:
        """Returns all offers."""
        ...


class LandingReader(Protocol):
    """Reads the click log."""

    async def recent_landings(self, offers: Sequence[str]) -> Sequence[tuple[str, str]]:
        """Returns pairs of an offer and a landing URL: the last two of each offer, the older first."""
        ...


class LastLandings:
    """Remembers the last two landing pages of each offer; what they share belongs to no visitor."""

    def __init__(self) -> None:
        """Starts empty; `refresh` fills it."""
        self._last: dict[str, tuple[str, str]] = {}

    async def refresh(self, clicks: LandingReader, offers: Offers) -> None:
        """Reads the landings of all gateways from the log, for offers with LAST_LANDING. Raises what the log raises."""
        wanted = [offer.name for offer in offers.all() if offer.fallback_policy is FallbackPolicy.LAST_LANDING]
        if wanted:
            self._load(await clicks.recent_landings(wanted))

    async def run(self, clicks: LandingReader, offers: Offers, *, every: float) -> None:
        """Refreshes every `every` seconds until it is cancelled."""
        while True:
            await asyncio.sleep(every)
            try:
                await self.refresh(clicks, offers)
            except ClicktraceError as error:
                log.warning("landings.unread", reason=error.reason)

    def _load(self, landings: Iterable[tuple[str, str]]) -> None:
        read: dict[str, tuple[str, str]] = {}
        for offer, url in landings:
            read[offer] = (read.get(offer, ("", ""))[1], url)
        self._last |= read

    def note(self, offer: str, url: str) -> None:
        """Records a landing page of an offer."""
        previous = self._last.get(offer, ("", ""))[1]
        self._last[offer] = (previous, url)

    def find(self, offer: str) -> str | None:
        """Returns the last landing page of an offer without its per-click parameters; None if it is not known.

        A parameter is per click unless the last two clicks had it with the same value. A page is known once two clicks
        in a row have ended on it: before that its very path could be one visitor's own.
        """
        previous, last = (SplitUrl.of(url) for url in self._last.get(offer, ("", "")))
        if not previous.base or previous.base != last.base:
            return None
        shared = set(parse(previous.query or ""))
        query = serialize(parameter for parameter in parse(last.query or "") if parameter in shared)
        fragment = last.fragment if last.fragment == previous.fragment else None
        return str(SplitUrl(last.base, query or None, fragment))
