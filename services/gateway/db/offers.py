"""The offers: one row each."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from libs.common.errors import ClicktraceError, Code
from services.gateway.db.click_rows import Row
from services.gateway.db.session import QUERIES, Pool, statement
from services.gateway.model import FallbackPolicy, MergePolicy, Mode, Offer, Rename, UserAgentPolicy
from services.gateway.offers.cache import unknown_offer

_GET = QUERIES["offer_get"]
_LIST = QUERIES["offer_list"]
_INSERT = QUERIES["offer_insert"]
_LOCK = QUERIES["offer_lock"]
_UPDATE = QUERIES["offer_update"]
_DELETE = QUERIES["offer_delete"]
_TABLE = "clicks.offers"


class OfferTable:
    """Offers, one row each."""

    def __init__(self, pool: Pool) -> None:
        """Works on a pool that its owner closes."""
        self._pool = pool

    async def get(self, name: str) -> Offer | None:
        """Returns an offer, also a disabled one; None if there is none."""
        async with statement(self._pool, "offer_get", _TABLE) as connection:
            row = await connection.fetchrow(_GET, name)
        return offer_of(row) if row else None

    async def page(self, after: str, size: int) -> Sequence[Offer]:
        """Returns up to `size` offers whose names come after `after`, by name."""
        async with statement(self._pool, "offer_list", _TABLE) as connection:
            rows = await connection.fetch(_LIST, after, size)
        return [offer_of(row) for row in rows]

    async def insert(self, offer: Offer) -> Offer:
        """Adds an offer and returns it with its times. ALREADY_EXISTS/OFFER_EXISTS when the name is taken."""
        async with statement(self._pool, "offer_insert", _TABLE) as connection:
            row = await connection.fetchrow(_INSERT, *offer_values(offer))
        if row is None:
            raise ClicktraceError(
                Code.ALREADY_EXISTS,
                "OFFER_EXISTS",
                f"there is an offer {offer.name!r} already; change it or take another name",
            )
        return offer_of(row)

    async def change(self, name: str, change: Callable[[Offer], Offer]) -> Offer:
        """Replaces an offer by what `change` makes of it, while nobody else changes it. NOT_FOUND/UNKNOWN_OFFER."""
        async with statement(self._pool, "offer_update", _TABLE) as connection, connection.transaction():
            row = await connection.fetchrow(_LOCK, name)
            if row is None:
                raise unknown_offer(name)
            row = await connection.fetchrow(_UPDATE, *offer_values(change(offer_of(row))))
        if row is None:
            raise unknown_offer(name)
        return offer_of(row)

    async def delete(self, name: str) -> None:
        """Takes an offer away. NOT_FOUND/UNKNOWN_OFFER if there is none."""
        async with statement(self._pool, "offer_delete", _TABLE) as connection:
            row = await connection.fetchrow(_DELETE, name)
        if row is None:
            raise unknown_offer(name)


def offer_values(offer: Offer) -> tuple[Any, ...]:
    """Returns what `offer_insert` and `offer_update` take, in their order."""
    return (
        offer.name,
        offer.tracking_url,
        offer.country,
        offer.max_wait,
        offer.mode,
        offer.merge_policy,
        list(offer.allow_params),
        list(offer.deny_params),
        json.dumps([asdict(rename) for rename in offer.rename_params]),
        list(offer.identity_params),
        offer.fallback_url,
        offer.fallback_policy,
        list(offer.landing_hosts),
        offer.user_agent_policy,
        offer.allow_app_links,
        offer.weight,
        offer.join_window,
        offer.webhook_url,
        offer.disabled,
    )


def offer_of(row: Row) -> Offer:
    """Reads an offer from a row."""
    return Offer(
        name=row["name"],
        tracking_url=row["tracking_url"],
        country=row["country"],
        max_wait=row["max_wait"],
        mode=Mode(row["mode"]),
        merge_policy=MergePolicy(row["merge_policy"]),
        allow_params=tuple(row["allow_params"]),
        deny_params=tuple(row["deny_params"]),
        rename_params=tuple(Rename(**rename) for rename in json.loads(row["rename_params"])),
        identity_params=tuple(row["identity_params"]),
        fallback_url=row["fallback_url"],
        fallback_policy=FallbackPolicy(row["fallback_policy"]),
        landing_hosts=tuple(row["landing_hosts"]),
        user_agent_policy=UserAgentPolicy(row["user_agent_policy"]),
        allow_app_links=row["allow_app_links"],
        weight=row["weight"],
        join_window=row["join_window"],
        webhook_url=row["webhook_url"],
        disabled=row["disabled"],
        create_time=row["create_time"],
        update_time=row["update_time"],
    )
