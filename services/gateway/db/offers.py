"""The offers: one row each, with the offer's fields in one JSON document.

A field that this build does not know stays in the document: a change writes only the fields that it names.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from libs.common.errors import ClicktraceError, Code, Violation
from libs.common.postgres.database import Pool
from libs.common.postgres.lending import lend
from services.gateway.db.session import QUERIES, Row
from services.gateway.model import Offer
from services.gateway.offers.stored import StoredOffer, UnreadableOffer, unknown_offer, unreadable_offer

_GET = QUERIES["offer_get"]
_LIST = QUERIES["offer_list"]
_INSERT = QUERIES["offer_insert"]
_LOCK = QUERIES["offer_lock"]
_UPDATE = QUERIES["offer_update"]
_DELETE = QUERIES["offer_delete"]
_TABLE = "clicks.offers"

# The document has the fields of `Offer` by name, so a new field is stored without a change here.
_OFFER = TypeAdapter(Offer)
_NOT_IN_DOCUMENT = {"name", "create_time", "update_time", "etag"}
_MAX_SHOWN = 100


class OfferTable:
    """Stores offers. Every method raises UNAVAILABLE/DATABASE_UNAVAILABLE."""

    def __init__(self, pool: Pool) -> None:
        """Uses a pool that the caller closes."""
        self._pool = pool

    async def get(self, name: str) -> StoredOffer | None:
        """Returns an offer, even a disabled one; None if there is none."""
        async with lend(self._pool, "offer_get", table=_TABLE) as connection:
            row = await connection.fetchrow(_GET, name)
        return _read(row) if row else None

    async def page(self, after: str, size: int) -> Sequence[StoredOffer]:
        """Returns up to `size` offers whose names come after `after`, by name."""
        async with lend(self._pool, "offer_list", table=_TABLE) as connection:
            rows = await connection.fetch(_LIST, after, size)
        return [_read(row) for row in rows]

    async def insert(self, offer: Offer) -> Offer:
        """Adds an offer and returns it with its times and etag. Raises ALREADY_EXISTS/OFFER_EXISTS."""
        async with lend(self._pool, "offer_insert", table=_TABLE) as connection:
            row = await connection.fetchrow(_INSERT, offer.name, json.dumps(_document(offer)))
        if row is None:
            raise ClicktraceError(
                Code.ALREADY_EXISTS,
                "OFFER_EXISTS",
                f"there is an offer {offer.name!r} already; change it or take another name",
            )
        return _readable(row)

    async def change(self, name: str, fields: Collection[str], change: Callable[[Offer], Offer]) -> Offer:
        """Writes `fields` of what `change` returns for the stored offer, which is locked meanwhile; returns the result.

        All other fields of the document stay as they are, also those that this build does not know. `change` gets the
        defaults for fields that it is to write and that cannot be read. Raises NOT_FOUND/UNKNOWN_OFFER,
        FAILED_PRECONDITION/OFFER_UNREADABLE if another field cannot be read, and what `change` raises.
        """
        async with lend(self._pool, "offer_update", table=_TABLE) as connection, connection.transaction():
            row = await connection.fetchrow(_LOCK, name)
            if row is None:
                raise unknown_offer(name)
            document = _document(change(_readable(row, replaced=fields)))
            written = {field: document[field] for field in fields}
            row = await connection.fetchrow(_UPDATE, name, json.dumps(written))
        if row is None:
            raise unknown_offer(name)
        return _readable(row)

    async def delete(self, name: str) -> None:
        """Deletes an offer. Raises NOT_FOUND/UNKNOWN_OFFER."""
        async with lend(self._pool, "offer_delete", table=_TABLE) as connection:
            row = await connection.fetchrow(_DELETE, name)
        if row is None:
            raise unknown_offer(name)


def _document(offer: Offer) -> dict[str, Any]:
    """Renders the document of an offer."""
    document: dict[str, Any] = _OFFER.dump_python(offer, mode="json", exclude=_NOT_IN_DOCUMENT)
    return document


def _read(row: Row, *, replaced: Collection[str] = ()) -> StoredOffer:
    """Reads an offer from a row; a field of `replaced` that cannot be read gets its default."""
    document = json.loads(row["document"])
    outside = {
        "name": row["name"],
        "create_time": row["create_time"].isoformat(),
        "update_time": row["update_time"].isoformat(),
        "etag": _etag(row),
    }
    try:
        return _OFFER.validate_json(json.dumps(document | outside), strict=True)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    unreadable = {str(one["loc"][0]) for one in errors}
    if unreadable <= set(replaced):
        # The tracking URL has no default; the empty one is replaced like every other default here.
        kept = {field: value for field, value in document.items() if field not in unreadable}
        return _OFFER.validate_json(json.dumps({"tracking_url": ""} | kept | outside), strict=True)
    return UnreadableOffer(row["name"], tuple(_violation(one) for one in errors))


def _readable(row: Row, *, replaced: Collection[str] = ()) -> Offer:
    """Reads an offer from a row, as `_read`. Raises FAILED_PRECONDITION/OFFER_UNREADABLE."""
    offer = _read(row, replaced=replaced)
    if isinstance(offer, UnreadableOffer):
        raise unreadable_offer(offer)
    return offer


def _etag(row: Row) -> str:
    """Returns a hash that differs after every change of the row, also one made by hand."""
    content = f"{row['update_time'].isoformat()} {row['document']}"
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _violation(error: ErrorDetails) -> Violation:
    first, *rest = error["loc"]
    path = str(first) + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)
    if error["type"] == "missing":
        return Violation(path, "is missing")
    value = json.dumps(error["input"])[:_MAX_SHOWN]
    if error["type"] == "enum":
        return Violation(path, f"unknown value {value}; use {error['ctx']['expected'].replace(chr(39), '')}")
    return Violation(path, f"has the value {value}: {error['msg'].lower()}")
