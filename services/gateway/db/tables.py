"""The schema `clicks` in PostgreSQL: offers and the click log. Driver errors are translated here."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeAlias

import asyncpg

from libs.common.batching import Grouper
from libs.common.errors import ClicktraceError, Code
from libs.common.postgres import database, sql
from services.gateway.db.rows import offer_of, offer_values, record_json, record_of
from services.gateway.model import ClickFilter, ClickRecord, Delivery, Offer, Undelivered
from services.gateway.offers.cache import unknown_offer

_queries = sql.load(__package__)
_OFFER_GET = _queries["offer_get"]
_OFFER_LIST = _queries["offer_list"]
_OFFER_INSERT = _queries["offer_insert"]
_CLICKS_WRITE = _queries["clicks_write"]
_OFFER_LOCK = _queries["offer_lock"]
_OFFER_UPDATE = _queries["offer_update"]
_OFFER_DELETE = _queries["offer_delete"]
_CLICK_GET = _queries["click_get"]
_CLICKS_GET = _queries["clicks_get"]
_CLICK_LIST = _queries["click_list"]
_CLICKS_EXPIRE = _queries["clicks_expire"]
_LANDINGS_RECENT = _queries["landings_recent"]
_JOURNEYS_CLAIM = _queries["journeys_claim"]
_JOURNEYS_GET = _queries["journeys_get"]
_JOURNEYS_KEEP = _queries["journeys_keep"]
_JOURNEYS_EXPIRE = _queries["journeys_expire"]
_WEBHOOKS_CLAIM = _queries["webhooks_claim"]
_WEBHOOK_DONE = _queries["webhook_done"]
_WEBHOOK_FAILED = _queries["webhook_failed"]
_WEBHOOKS_LIST = _queries["webhooks_list"]
_WEBHOOKS_RETRY = _queries["webhooks_retry"]
_WEBHOOKS_EXPIRE = _queries["webhooks_expire"]

_MAX_CLAIMS = 500
_ACQUIRE_TIMEOUT = 5.0
# What the driver says of a connection that broke; the last one where it breaks in the middle of a state change.
_BROKEN = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)

# Quoted, because these are generic in the stubs only.
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


def unavailable(error: Exception) -> ClicktraceError:
    """Describes a database that cannot be used now; the driver's words stay out, they may name hosts and users."""
    kind = type(error).__name__
    return ClicktraceError(
        Code.UNAVAILABLE,
        "DATABASE_UNAVAILABLE",
        f"the database cannot be used now ({kind}); try again",
        retry_after=1.0,
    )


@dataclass(frozen=True, slots=True)
class _Claim:
    """One click that would lead an identity for so many seconds."""

    identity: str
    click_id: str
    seconds: float


@asynccontextmanager
async def statement(pool: Pool, name: str, table: str) -> AsyncIterator[Connection]:
    """Lends a connection for one named statement, inside its span.

    Raises UNAVAILABLE/DATABASE_UNAVAILABLE where the server is gone or does not answer; the errors of a statement that
    is wrong (asyncpg.DataError and its kind) pass.
    """
    with database.span(name, table=table):
        try:
            connection = await pool.acquire(timeout=_ACQUIRE_TIMEOUT)
        except (*_BROKEN, asyncpg.PostgresError) as error:
            raise unavailable(error) from error
        try:
            yield connection
        except _BROKEN as error:
            raise unavailable(error) from error
        except asyncpg.PostgresError as error:
            # 08 connection, 53 resources, 57 operator intervention, 25006 a standby: all pass with time.
            if (error.sqlstate or "")[:2] in ("08", "53", "57") or error.sqlstate == "25006":
                if error.sqlstate == "25006":
                    # This server is the primary no more; the next connection looks for the one that is.
                    connection.terminate()
                raise unavailable(error) from error
            raise
        finally:
            await pool.release(connection)


class OfferTable:
    """Offers, one row each."""

    def __init__(self, pool: Pool) -> None:
        """Works on a pool that its owner closes."""
        self._pool = pool

    async def get(self, name: str) -> Offer | None:
        """Returns an offer, also a disabled one; None if there is none."""
        async with statement(self._pool, "offer_get", "clicks.offers") as connection:
            row = await connection.fetchrow(_OFFER_GET, name)
        return offer_of(row) if row else None

    async def page(self, after: str, size: int) -> Sequence[Offer]:
        """Returns up to `size` offers whose names come after `after`, by name."""
        async with statement(self._pool, "offer_list", "clicks.offers") as connection:
            rows = await connection.fetch(_OFFER_LIST, after, size)
        return [offer_of(row) for row in rows]

    async def insert(self, offer: Offer) -> Offer:
        """Adds an offer and returns it with its times. ALREADY_EXISTS/OFFER_EXISTS when the name is taken."""
        async with statement(self._pool, "offer_insert", "clicks.offers") as connection:
            row = await connection.fetchrow(_OFFER_INSERT, *offer_values(offer))
        if row is None:
            raise ClicktraceError(
                Code.ALREADY_EXISTS,
                "OFFER_EXISTS",
                f"there is an offer {offer.name!r} already; change it or take another name",
            )
        return offer_of(row)

    async def change(self, name: str, change: Callable[[Offer], Offer]) -> Offer:
        """Replaces an offer by what `change` makes of it, while nobody else changes it. NOT_FOUND/UNKNOWN_OFFER."""
        async with statement(self._pool, "offer_update", "clicks.offers") as connection, connection.transaction():
            row = await connection.fetchrow(_OFFER_LOCK, name)
            if row is None:
                raise unknown_offer(name)
            row = await connection.fetchrow(_OFFER_UPDATE, *offer_values(change(offer_of(row))))
        if row is None:
            raise unknown_offer(name)
        return offer_of(row)

    async def delete(self, name: str) -> None:
        """Takes an offer away. NOT_FOUND/UNKNOWN_OFFER if there is none."""
        async with statement(self._pool, "offer_delete", "clicks.offers") as connection:
            row = await connection.fetchrow(_OFFER_DELETE, name)
        if row is None:
            raise unknown_offer(name)


class ClickTable:
    """The click log, one row for each click."""

    def __init__(self, pool: Pool) -> None:
        """Works on a pool that its owner closes."""
        self._pool = pool

    async def write(self, records: Sequence[ClickRecord]) -> None:
        """Writes records in one statement; of each click the newest version is kept, so a repeat is harmless.

        Raises ValueError when the database refuses one of them, and then writes none.
        """
        text = json.dumps([record_json(record) for record in records])
        async with statement(self._pool, "clicks_write", "clicks.clicks") as connection:
            try:
                await connection.execute(_CLICKS_WRITE, text)
            except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
                raise ValueError(f"the database refuses a click record: {type(error).__name__}") from error

    async def get(self, click_id: str) -> ClickRecord | None:
        """Returns one click, whole; None if there is none."""
        row: Any
        async with statement(self._pool, "click_get", "clicks.clicks") as connection:
            row = await connection.fetchrow(_CLICK_GET, click_id)
        return record_of(row) if row else None

    async def get_many(self, click_ids: Sequence[str]) -> Sequence[ClickRecord]:
        """Returns those of many clicks that there are, whole, in order."""
        async with statement(self._pool, "clicks_get", "clicks.clicks") as connection:
            rows = await connection.fetch(_CLICKS_GET, list(click_ids))
        return [record_of(row) for row in rows]

    async def page(self, wanted: ClickFilter, after: str, size: int) -> Sequence[ClickRecord]:
        """Returns up to `size` clicks older than the click `after` (if empty, the newest), without hops and params."""
        async with statement(self._pool, "click_list", "clicks.clicks") as connection:
            rows = await connection.fetch(
                _CLICK_LIST, after, wanted.offer, wanted.status, wanted.reason, wanted.since, wanted.until, size
            )
        return [record_of(row) for row in rows]

    async def recent_landings(self, offers: Sequence[str]) -> Sequence[tuple[str, str]]:
        """Returns offers and the URLs of their last two landings, the older first."""
        async with statement(self._pool, "landings_recent", "clicks.clicks") as connection:
            rows = await connection.fetch(_LANDINGS_RECENT, list(offers))
        return [(row["offer"], row["final_url"]) for row in rows]

    async def expire(self, older_than: float, most: int) -> int:
        """Deletes up to `most` clicks older than so many seconds, and returns how many."""
        async with statement(self._pool, "clicks_expire", "clicks.clicks") as connection:
            return _count(await connection.execute(_CLICKS_EXPIRE, older_than, most))


class JourneyTable:
    """Which click leads those that are the same; what many clicks ask travels together."""

    def __init__(self, pool: Pool) -> None:
        """Works on a pool that its owner closes, while it is entered as an async context manager."""
        self._pool = pool
        self._keeps: Grouper[_Claim, None] = Grouper(self._keep_all, max_group=_MAX_CLAIMS, name="keep.group")
        self._claims: Grouper[_Claim, str] = Grouper(self._claim_all, max_group=_MAX_CLAIMS, name="join.group")

    async def __aenter__(self) -> Self:
        await self._claims.__aenter__()
        await self._keeps.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._claims.__aexit__(kind, error, trace)
        await self._keeps.__aexit__(kind, error, trace)

    async def claim(self, identity: str, click_id: str, seconds: float) -> str:
        """Returns the id of the click that leads an identity: this one, for so many seconds, if nobody else does."""
        return await self._claims.submit(_Claim(identity, click_id, seconds))

    async def keep(self, identity: str, click_id: str, seconds: float) -> None:
        """Lets a click lead for so many seconds from now, if it still does."""
        await self._keeps.submit(_Claim(identity, click_id, seconds))

    async def expire(self, most: int) -> int:
        """Deletes up to `most` whose time has passed, and returns how many."""
        async with statement(self._pool, "journeys_expire", "clicks.journeys") as connection:
            return _count(await connection.execute(_JOURNEYS_EXPIRE, most))

    async def _keep_all(self, keeps: Sequence[_Claim]) -> Sequence[None]:
        async with statement(self._pool, "journeys_keep", "clicks.journeys") as connection:
            await connection.execute(
                _JOURNEYS_KEEP,
                [keep.identity for keep in keeps],
                [keep.click_id for keep in keeps],
                [keep.seconds for keep in keeps],
            )
        return [None] * len(keeps)

    async def _claim_all(self, claims: Sequence[_Claim]) -> Sequence[str | Exception]:
        # One statement must not touch a row twice, so of twins the first claims for all.
        firsts = {claim.identity: claim for claim in reversed(claims)}
        leaders: dict[str, str] = {}
        async with statement(self._pool, "journeys_claim", "clicks.journeys") as connection:
            # A leader whose time ends between the two statements is gone from both; then the next round gets it.
            while missing := [claim for claim in firsts.values() if claim.identity not in leaders]:
                won = await connection.fetch(
                    _JOURNEYS_CLAIM,
                    [claim.identity for claim in missing],
                    [claim.click_id for claim in missing],
                    [claim.seconds for claim in missing],
                )
                leaders |= {row["identity"]: firsts[row["identity"]].click_id for row in won}
                lost = [claim.identity for claim in missing if claim.identity not in leaders]
                if lost:
                    rows = await connection.fetch(_JOURNEYS_GET, lost)
                    leaders |= {row["identity"]: row["click_id"] for row in rows}
        return [leaders[claim.identity] for claim in claims]


class WebhookTable:
    """Late results on their way to the webhooks of their offers."""

    def __init__(self, pool: Pool) -> None:
        """Works on a pool that its owner closes."""
        self._pool = pool

    async def claim(self, most: int, seconds: float) -> Sequence[Delivery]:
        """Takes up to `most` that are due; who dies with them leaves them to others after so many seconds."""
        async with statement(self._pool, "webhooks_claim", "clicks.webhooks") as connection:
            rows = await connection.fetch(_WEBHOOKS_CLAIM, most, seconds)
        return [Delivery(row["click_id"], row["offer"], row["url"], row["attempts"]) for row in rows]

    async def done(self, click_id: str) -> None:
        """Forgets one that was delivered."""
        async with statement(self._pool, "webhook_done", "clicks.webhooks") as connection:
            await connection.execute(_WEBHOOK_DONE, click_id)

    async def failed(self, click_id: str, error: str, *, again_in: float | None) -> None:
        """Notes why one was not delivered; it is tried again in so many seconds, or, if None, is a dead letter."""
        async with statement(self._pool, "webhook_failed", "clicks.webhooks") as connection:
            await connection.execute(_WEBHOOK_FAILED, click_id, error, again_in or 0.0, again_in is None)

    async def page(self, offer: str, after: str, size: int, *, dead: bool) -> Sequence[Undelivered]:
        """Returns up to `size` of an offer (of all if empty) behind the click `after`, only dead letters if `dead`."""
        async with statement(self._pool, "webhooks_list", "clicks.webhooks") as connection:
            rows = await connection.fetch(_WEBHOOKS_LIST, after, offer, dead, size)
        return [Undelivered(**row) for row in rows]

    async def retry(self, click_ids: Sequence[str], offer: str) -> int:
        """Makes the dead letters of clicks, and of an offer if one is named, due again; returns how many."""
        async with statement(self._pool, "webhooks_retry", "clicks.webhooks") as connection:
            return _count(await connection.execute(_WEBHOOKS_RETRY, list(click_ids), offer))

    async def expire(self, older_than: float) -> int:
        """Deletes dead letters older than so many seconds, and returns how many."""
        async with statement(self._pool, "webhooks_expire", "clicks.webhooks") as connection:
            return _count(await connection.execute(_WEBHOOKS_EXPIRE, older_than))


def _count(tag: str) -> int:
    """Reads how many rows a command has touched from its tag, such as `DELETE 3`."""
    return int(tag.rpartition(" ")[2])
