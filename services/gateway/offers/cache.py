"""Holds all offers in memory, so that a click needs no database query for its offer."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from libs.common.errors import ClicktraceError
from libs.common.process import logs
from services.gateway.model import Offer
from services.gateway.offers.stored import StoredOffer, UnreadableOffer, unknown_offer

log = logs.get(__name__)

# Clicks wait while the offers of a page are decoded, some 40 µs each.
_PAGE_SIZE = 200
_MISSING_SECONDS = 1.0
_MAX_MISSING = 10_000
_MAX_LOOKUPS = 4


class OfferStore(Protocol):
    """Stores offers."""

    async def get(self, name: str) -> StoredOffer | None:
        """Returns an offer, even a disabled one; None if there is none."""
        ...

    async def page(self, after: str, size: int) -> Sequence[StoredOffer]:
        """Returns up to `size` offers whose names come after `after`, by name."""
        ...


class OfferCache:
    """Holds every offer; serves what it has while the store is unavailable. Its owner reloads what has changed.

    An offer that cannot be read is logged and skipped, and no other offer is affected. If this process has read an
    earlier version of it, clicks are still served from that; otherwise the offer is unknown.
    """

    def __init__(self, store: OfferStore) -> None:
        """Starts empty; `reload_all` fills it."""
        self._store = store
        self._offers: dict[str, Offer] = {}
        self._unreadable: dict[str, UnreadableOffer] = {}
        self._missing: OrderedDict[str, float] = OrderedDict()
        # Reloads run one after another: a slow old answer must not overwrite a newer one.
        self._reloading = asyncio.Lock()
        self._lookups: dict[str, asyncio.Event] = {}

    async def find(self, name: str) -> Offer:
        """Returns the offer of a click. Raises NOT_FOUND/UNKNOWN_OFFER if there is none or it is disabled.

        An unknown name is looked up in the store, because it may have been created a moment ago: at most once a second
        per name and 4 names at a time, so that invented names cannot keep the database busy.
        """
        offer = self._offers.get(name)
        if offer is None:
            await self._look_up(name)
            offer = self._offers.get(name)
        if offer is None or offer.disabled:
            raise unknown_offer(name)
        return offer

    def all(self) -> Sequence[Offer]:
        """Returns all offers by name, disabled ones included."""
        return sorted(self._offers.values(), key=lambda offer: offer.name)

    def unreadable(self) -> Sequence[UnreadableOffer]:
        """Returns by name the offers that cannot be read as they are stored now."""
        return sorted(self._unreadable.values(), key=lambda offer: offer.name)

    async def reload(self, name: str) -> None:
        """Reads one offer from the store. Raises what the store raises."""
        async with self._reloading:
            stored = await self._store.get(name)
            if stored is None:
                self._offers.pop(name, None)
                self._unreadable.pop(name, None)
                self._remember_missing(name)
            elif isinstance(stored, UnreadableOffer):
                self._report({**self._unreadable, name: stored})
                self._remember_missing(name)
            else:
                self._offers[name] = stored
                self._unreadable.pop(name, None)
                self._missing.pop(name, None)

    async def reload_all(self) -> None:
        """Reads all offers from the store. Raises what the store raises, and then keeps what it has."""
        async with self._reloading:
            offers: dict[str, Offer] = {}
            unreadable: dict[str, UnreadableOffer] = {}
            after = ""
            while page := await self._store.page(after, _PAGE_SIZE):
                for stored in page:
                    if isinstance(stored, UnreadableOffer):
                        unreadable[stored.name] = stored
                    else:
                        offers[stored.name] = stored
                after = page[-1].name
            last_readable = {name: self._offers[name] for name in unreadable if name in self._offers}
            self._offers = offers | last_readable
            self._report(unreadable)
            self._missing.clear()
        log.info("offers.loaded", offers=len(offers), unreadable=len(unreadable))

    async def _look_up(self, name: str) -> None:
        """Reads an offer that is not cached, once for all clicks that ask for it at the same time."""
        pending = self._lookups.get(name)
        if pending is not None:
            await pending.wait()
            return
        if len(self._lookups) >= _MAX_LOOKUPS or self._missing.get(name, 0.0) > time.monotonic():
            return
        done = self._lookups[name] = asyncio.Event()
        try:
            await self.reload(name)
        except ClicktraceError as error:
            log.warning("offer.lookup_failed", reason=error.reason)
        finally:
            del self._lookups[name]
            done.set()

    def _report(self, unreadable: dict[str, UnreadableOffer]) -> None:
        """Logs the offers that cannot be read, each once as long as it stays as it is."""
        for name, offer in unreadable.items():
            if self._unreadable.get(name) != offer:
                violations = [f"{violation.field}: {violation.description}" for violation in offer.violations]
                log.error("offer.unreadable", offer=name, violations=violations, served=name in self._offers)
        self._unreadable = unreadable

    def _remember_missing(self, name: str) -> None:
        self._missing[name] = time.monotonic() + _MISSING_SECONDS
        self._missing.move_to_end(name)
        while len(self._missing) > _MAX_MISSING:
            self._missing.popitem(last=False)
