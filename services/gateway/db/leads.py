"""Which click leads each click identity, shared by all gateways; requests of many clicks travel in one statement."""

from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Self

from libs.common.batching import Grouper
from libs.common.postgres.database import Pool
from libs.common.postgres.lending import lend
from services.gateway.db.session import QUERIES, affected_rows

_CLAIM = QUERIES["leads_claim"]
_GET = QUERIES["leads_get"]
_KEEP = QUERIES["leads_keep"]
_EXPIRE = QUERIES["leads_expire"]
_TABLE = "clicks.journeys"
_MAX_GROUP = 500


class _Lead(NamedTuple):
    """A click that is to lead an identity for `seconds`."""

    identity: str
    click_id: str
    seconds: float


class LeadTable:
    """Claims and extends leads, many at once. Every method raises UNAVAILABLE/DATABASE_UNAVAILABLE."""

    def __init__(self, pool: Pool) -> None:
        """Uses a pool that the caller closes; works while it is entered as an async context manager."""
        self._pool = pool
        self._extensions: Grouper[_Lead, None] = Grouper(self._extend_all, max_group=_MAX_GROUP, name="keep.group")
        self._claims: Grouper[_Lead, str] = Grouper(self._claim_all, max_group=_MAX_GROUP, name="join.group")

    async def __aenter__(self) -> Self:
        await self._claims.__aenter__()
        await self._extensions.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._claims.__aexit__(kind, error, trace)
        await self._extensions.__aexit__(kind, error, trace)

    async def claim_leader(self, identity: str, click_id: str, seconds: float) -> str:
        """Returns the id of the leading click; makes this click leader for `seconds` if there is none."""
        return await self._claims.submit(_Lead(identity, click_id, seconds))

    async def extend_lead(self, identity: str, click_id: str, seconds: float) -> None:
        """Extends the lead of a click to `seconds` from now; does nothing if another click leads by now."""
        await self._extensions.submit(_Lead(identity, click_id, seconds))

    async def expire(self, most: int) -> int:
        """Deletes up to `most` lapsed leads; returns how many."""
        async with lend(self._pool, "leads_expire", table=_TABLE) as connection:
            return affected_rows(await connection.execute(_EXPIRE, most))

    async def _extend_all(self, leads: Sequence[_Lead]) -> Sequence[None]:
        async with lend(self._pool, "leads_keep", table=_TABLE) as connection:
            await connection.execute(
                _KEEP,
                [lead.identity for lead in leads],
                [lead.click_id for lead in leads],
                [lead.seconds for lead in leads],
            )
        return [None] * len(leads)

    async def _claim_all(self, claims: Sequence[_Lead]) -> Sequence[str | Exception]:
        # One statement must not touch a row twice, so of claims to one identity the first claims for all.
        firsts = {claim.identity: claim for claim in reversed(claims)}
        leaders: dict[str, str] = {}
        async with lend(self._pool, "leads_claim", table=_TABLE) as connection:
            # A lead that lapses between the two statements is in neither answer; the next round claims it.
            while missing := [claim for claim in firsts.values() if claim.identity not in leaders]:
                won = await connection.fetch(
                    _CLAIM,
                    [claim.identity for claim in missing],
                    [claim.click_id for claim in missing],
                    [claim.seconds for claim in missing],
                )
                leaders |= {row["identity"]: firsts[row["identity"]].click_id for row in won}
                lost = [claim.identity for claim in missing if claim.identity not in leaders]
                if lost:
                    rows = await connection.fetch(_GET, lost)
                    leaders |= {row["identity"]: row["click_id"] for row in rows}
        return [leaders[claim.identity] for claim in claims]
