"""Offers in memory: one lookup for many clicks, few for invented names, and service while the store is gone."""

import asyncio
from collections.abc import Sequence

import pytest
import structlog

from libs.common.errors import ClicktraceError, Code, Violation
from services.gateway.model import Offer
from services.gateway.offers.cache import OfferCache
from services.gateway.offers.stored import StoredOffer, UnreadableOffer


class Store:
    """A store that answers when it is told to."""

    def __init__(self) -> None:
        self.offers: dict[str, StoredOffer] = {}
        self.asked: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self.gone = False

    async def get(self, name: str) -> StoredOffer | None:
        self.asked.append(name)
        await self.open.wait()
        if self.gone:
            raise ClicktraceError(Code.UNAVAILABLE, "DATABASE_UNAVAILABLE", "gone")
        return self.offers.get(name)

    async def page(self, after: str, size: int) -> Sequence[StoredOffer]:
        if self.gone:
            raise ClicktraceError(Code.UNAVAILABLE, "DATABASE_UNAVAILABLE", "gone")
        return [offer for name, offer in sorted(self.offers.items()) if name > after][:size]

    def add(self, name: str, *, disabled: bool = False) -> None:
        self.offers[name] = Offer(name, "http://t.example/", disabled=disabled)

    def spoil(self, name: str) -> None:
        self.offers[name] = UnreadableOffer(name, (Violation("mode", "unknown value"),))


async def reason(cache: OfferCache, name: str) -> str:
    with pytest.raises(ClicktraceError) as caught:
        await cache.find(name)
    return caught.value.reason


async def test_an_offer_that_was_just_created_is_looked_up_once_for_all_who_ask() -> None:
    store = Store()
    cache = OfferCache(store)
    await cache.reload_all()
    store.add("new")
    store.open.clear()
    finding = [asyncio.create_task(cache.find("new")) for _ in range(50)]
    await asyncio.sleep(0)
    store.open.set()
    assert {offer.name for offer in await asyncio.gather(*finding)} == {"new"}
    assert store.asked == ["new"]


async def test_a_known_offer_is_served_without_the_store_and_while_it_is_gone() -> None:
    store = Store()
    store.add("demo")
    cache = OfferCache(store)
    await cache.reload_all()
    store.gone = True
    with pytest.raises(ClicktraceError):
        await cache.reload_all()
    assert (await cache.find("demo")).name == "demo"
    assert await reason(cache, "other") == "UNKNOWN_OFFER"
    assert store.asked == ["other"]


async def test_an_unknown_name_is_not_asked_for_again_and_again() -> None:
    store = Store()
    cache = OfferCache(store)
    for _ in range(10):
        assert await reason(cache, "nobody") == "UNKNOWN_OFFER"
    assert store.asked == ["nobody"]
    # A notification does not wait for that.
    store.add("nobody")
    await cache.reload("nobody")
    assert (await cache.find("nobody")).name == "nobody"


async def test_a_flood_of_invented_names_keeps_few_lookups_under_way() -> None:
    store = Store()
    cache = OfferCache(store)
    store.open.clear()
    finding = [asyncio.create_task(reason(cache, f"invented-{number}")) for number in range(1_000)]
    await asyncio.sleep(0)
    store.open.set()
    assert set(await asyncio.gather(*finding)) == {"UNKNOWN_OFFER"}
    assert len(store.asked) <= 10


async def test_a_disabled_or_deleted_offer_is_unknown() -> None:
    store = Store()
    store.add("off", disabled=True)
    store.add("gone")
    cache = OfferCache(store)
    await cache.reload_all()
    assert await reason(cache, "off") == "UNKNOWN_OFFER"
    del store.offers["gone"]
    await cache.reload("gone")
    assert await reason(cache, "gone") == "UNKNOWN_OFFER"


async def test_an_unreadable_offer_is_skipped_and_logged_once_while_the_others_go_on_changing() -> None:
    store = Store()
    store.spoil("bad")
    store.add("one")
    cache = OfferCache(store)
    with structlog.testing.capture_logs() as logs:
        await cache.reload_all()
        store.add("two")
        await cache.reload_all()
        await cache.reload("bad")
        assert await reason(cache, "bad") == "UNKNOWN_OFFER"
        assert (await cache.find("two")).name == "two"
    told = [entry for entry in logs if entry["event"] == "offer.unreadable"]
    assert [(entry["offer"], entry["violations"], entry["served"]) for entry in told] == [
        ("bad", ["mode: unknown value"], False)
    ]
    assert [offer.name for offer in cache.unreadable()] == ["bad"]
    store.add("bad")
    await cache.reload("bad")
    assert (await cache.find("bad")).name == "bad"
    assert cache.unreadable() == []
    store.spoil("bad")
    with structlog.testing.capture_logs() as logs:
        await cache.reload("bad")
    assert [entry["served"] for entry in logs if entry["event"] == "offer.unreadable"] == [True]


async def test_an_offer_that_has_become_unreadable_is_served_as_it_last_was_until_it_is_deleted() -> None:
    store = Store()
    store.add("demo")
    cache = OfferCache(store)
    await cache.reload_all()
    store.spoil("demo")
    await cache.reload("demo")
    assert (await cache.find("demo")).name == "demo"
    await cache.reload_all()
    assert (await cache.find("demo")).name == "demo"
    del store.offers["demo"]
    await cache.reload_all()
    assert await reason(cache, "demo") == "UNKNOWN_OFFER"
