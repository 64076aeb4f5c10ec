"""All offers in memory, so that a click asks no database for its offer."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from libs.common.errors import ClicktraceError, Code
from libs.common.process import logs
from services.gateway.model import Offer

log = logs.get(__name__)

_PAGE = 1_000
_MISSING_FOR = 1.0
_MISSING_KEPT = 10_000
_LOOKUPS = 4


class OfferStore(Protocol):
    """Where offers are kept."""

    async def get(self, name: str) -> Offer | None:
        """Returns an offer; None if there is none."""
        ...

    async def page(self, after: str, size: int) -> Sequence[Offer]:
        """Returns offers by name."""
        ...


def unknown_offer(name: str) -> ClicktraceError:
    """Describes an offer that does not exist or is disabled."""
    return ClicktraceError(Code.NOT_FOUND, "UNKNOWN_OFFER", f"there is no offer {name!r}")


class OfferBook:
    """Every offer, kept up to date by notifications; it serves on while the store is gone."""

    def __init__(self, store: OfferStore) -> None:
        """Begins empty; `reload_all` fills it."""
        self._store = store
        self._offers: dict[str, Offer] = {}
        self._missing: OrderedDict[str, float] = OrderedDict()
        # Reloads run one after another: a slow old answer must not overwrite a newer one.
        self._reloading = asyncio.Lock()
        self._lookups: dict[str, asyncio.Event] = {}

    async def find(self, name: str) -> Offer:
        """Returns the offer of a click. NOT_FOUND/UNKNOWN_OFFER if there is none or it is disabled.

        An unknown name is looked up, because it may have been created a moment ago; at most once a second each, and
        few at a time, so that invented names cannot keep the database busy.
        """
        offer = self._offers.get(name)
        if offer is None:
            await self._look_up(name)
            offer = self._offers.get(name)
        if offer is None or offer.disabled:
            raise unknown_offer(name)
        return offer

    def all(self) -> Sequence[Offer]:
        """Returns all offers, disabled ones too, by name."""
        return sorted(self._offers.values(), key=lambda offer: offer.name)

    async def reload(self, name: str) -> None:
        """Reads one offer anew. Raises as the store does."""
        async with self._reloading:
            offer = await self._store.get(name)
            if offer is None:
                self._offers.pop(name, None)
                self._remember_missing(name)
            else:
                self._offers[name] = offer
                self._missing.pop(name, None)

    async def reload_all(self) -> None:
        """Reads all offers anew. Raises as the store does, and then keeps what it has."""
        async with self._reloading:
            offers: dict[str, Offer] = {}
            after = ""
            while page := await self._store.page(after, _PAGE):
                offers |= {offer.name: offer for offer in page}
                after = page[-1].name
            self._offers = offers
            self._missing.clear()
        log.info("offers.loaded", offers=len(offers))

    async def _look_up(self, name: str) -> None:
        """Reads an offer that is not here, once for all clicks that ask for it at the same time."""
        under_way = self._lookups.get(name)
        if under_way is not None:
            await under_way.wait()
            return
        if len(self._lookups) >= _LOOKUPS or self._missing.get(name, 0.0) > time.monotonic():
            return
        done = self._lookups[name] = asyncio.Event()
        try:
            await self.reload(name)
        except ClicktraceError as error:
            log.warning("offer.lookup_failed", reason=error.reason)
        finally:
            del self._lookups[name]
            done.set()

    def _remember_missing(self, name: str) -> None:
        self._missing[name] = time.monotonic() + _MISSING_FOR
        self._missing.move_to_end(name)
        while len(self._missing) > _MISSING_KEPT:
            self._missing.popitem(last=False)
