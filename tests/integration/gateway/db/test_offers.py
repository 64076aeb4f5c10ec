"""Offers as documents: fields of other builds stay, and what cannot be read spoils nothing but itself."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from libs.common.errors import ClicktraceError, Code
from libs.common.postgres.database import Pool, connect_pool
from services.gateway.db.offers import OfferTable
from services.gateway.model import Mode, Offer, Rename
from services.gateway.offers.stored import StoredOffer, UnreadableOffer

OFFER = Offer("demo", "http://t.example/", rename_params=(Rename("a", "b"),), identity_params=("order",), max_wait=2.5)


@asynccontextmanager
async def opened(database: str) -> AsyncIterator[tuple[OfferTable, Pool]]:
    async with await connect_pool(database, application_name="test", max_size=2) as pool:
        yield OfferTable(pool), pool


async def write(pool: Pool, fields: Mapping[str, Any], name: str = "demo") -> None:
    """Writes fields as another build or a person would."""
    await pool.execute(
        "UPDATE clicks.offers SET document = document || $2::jsonb WHERE name = $1", name, json.dumps(fields)
    )


async def document(pool: Pool, name: str = "demo") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await pool.fetchval("SELECT document FROM clicks.offers WHERE name = $1", name))
    return found


def faults(offer: StoredOffer | None) -> dict[str, str]:
    assert isinstance(offer, UnreadableOffer)
    return {violation.field: violation.description for violation in offer.violations}


def to(**fields: Any) -> Callable[[Offer], Offer]:
    return lambda offer: replace(offer, **fields)


async def test_an_offer_comes_back_as_it_was_stored(database: str) -> None:
    async with opened(database) as (offers, pool):
        stored = await offers.insert(OFFER)
        assert replace(stored, create_time=None, update_time=None, etag="") == OFFER
        assert await offers.get("demo") == stored
        assert await offers.page("", 10) == [stored]
        # Everything but the name stands in the document, and nothing else does.
        fields = set(Offer.__dataclass_fields__) - {"name", "create_time", "update_time", "etag"}
        assert set(await document(pool)) == fields


async def test_a_change_keeps_fields_that_this_build_does_not_know(database: str) -> None:
    async with opened(database) as (offers, pool):
        await offers.insert(OFFER)
        newer = {"engine": {"kind": "BROWSER", "budget": 3}}
        await write(pool, newer)
        assert isinstance(await offers.get("demo"), Offer)
        changed = await offers.change("demo", ["weight", "mode"], to(weight=7, mode=Mode.BEACON))
        assert (changed.weight, changed.mode) == (7, Mode.BEACON)
        assert {name: (await document(pool))[name] for name in newer} == newer


async def test_a_change_writes_the_fields_that_it_names_and_no_others(database: str) -> None:
    async with opened(database) as (offers, _pool):
        stored = await offers.insert(OFFER)
        changed = await offers.change("demo", ["weight", "max_wait"], to(weight=7, max_wait=None, disabled=True))
        assert changed == replace(stored, weight=7, max_wait=None, update_time=changed.update_time, etag=changed.etag)


async def test_a_document_may_leave_out_all_but_the_tracking_url(database: str) -> None:
    async with opened(database) as (offers, pool):
        await pool.execute(
            """INSERT INTO clicks.offers (name, document) VALUES ('demo', '{"tracking_url": "http://t/"}')"""
        )
        found = await offers.get("demo")
        assert isinstance(found, Offer)
        assert replace(found, create_time=None, update_time=None, etag="") == Offer("demo", "http://t/")
        await pool.execute("UPDATE clicks.offers SET document = '{}'")
        assert faults(await offers.get("demo")) == {"tracking_url": "is missing"}


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("mode", "SHADOW", 'unknown value "SHADOW"; use TRACE, BEACON or REDIRECT_ONLY'),
        ("mode", None, "unknown value null; use TRACE, BEACON or REDIRECT_ONLY"),
        ("weight", "7", 'has the value "7": '),
        ("weight", 0, "has the value 0: "),
        ("max_wait", 61, "has the value 61: "),
        ("max_wait", 1e300, "has the value 1000"),
        ("disabled", "yes", 'has the value "yes": '),
        ("landing_hosts", "shop.example", 'has the value "shop.example": '),
        ("rename_params", [{"source": "a"}], "is missing"),
    ],
)
async def test_a_field_that_cannot_be_read_is_named_and_spoils_no_other_offer(
    database: str, field: str, value: Any, told: str
) -> None:
    async with opened(database) as (offers, pool):
        for name in ("a", "demo", "z"):
            await offers.insert(replace(OFFER, name=name))
        await write(pool, {field: value})
        ((path, description),) = faults(await offers.get("demo")).items()
        assert path.startswith(field)
        assert description.startswith(told)
        page = await offers.page("", 10)
        assert [offer.name for offer in page if isinstance(offer, Offer)] == ["a", "z"]
        assert [offer.name for offer in page if isinstance(offer, UnreadableOffer)] == ["demo"]


async def test_an_unreadable_field_can_be_replaced_and_hides_no_other(database: str) -> None:
    async with opened(database) as (offers, pool):
        stored = await offers.insert(OFFER)
        await write(pool, {"mode": "SHADOW", "tracking_url": 5})
        with pytest.raises(ClicktraceError) as caught:
            await offers.change("demo", ["mode", "weight"], to(mode=Mode.BEACON, weight=3))
        assert (caught.value.code, caught.value.reason) == (Code.FAILED_PRECONDITION, "OFFER_UNREADABLE")
        assert [violation.field for violation in caught.value.violations] == ["tracking_url", "mode"]
        assert (await document(pool))["weight"] == 1
        mended = await offers.change(
            "demo", ["mode", "tracking_url"], to(mode=Mode.BEACON, tracking_url="http://u.example/")
        )
        assert mended == replace(
            stored,
            mode=Mode.BEACON,
            tracking_url="http://u.example/",
            update_time=mended.update_time,
            etag=mended.etag,
        )
        await write(pool, {"mode": "SHADOW"})
        await offers.delete("demo")
        assert await offers.get("demo") is None


async def test_an_etag_differs_after_every_change_whoever_made_it(database: str) -> None:
    async with opened(database) as (offers, pool):
        seen = [(await offers.insert(OFFER)).etag]
        seen += [(await offers.change("demo", ["weight"], to(weight=weight))).etag for weight in (2, 1, 1)]
        for fields in ({"weight": 9}, {"engine": "BROWSER"}):
            await write(pool, fields)
            found = await offers.get("demo")
            assert isinstance(found, Offer)
            seen.append(found.etag)
        again = await offers.get("demo")
        assert isinstance(again, Offer)
        assert again.etag == seen[-1]
        assert "" not in seen
        assert len(set(seen)) == len(seen)


async def test_a_document_is_an_object(database: str) -> None:
    async with opened(database) as (_offers, pool):
        with pytest.raises(asyncpg.CheckViolationError):
            await pool.execute("INSERT INTO clicks.offers (name, document) VALUES ('demo', '[]')")
