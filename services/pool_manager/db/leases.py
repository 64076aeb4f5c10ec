"""Leases in PostgreSQL: the store of `services.pool_manager.leasing.service`."""

import os
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import accumulate

from services.pool_manager.db.session import Row, Session, statement
from services.pool_manager.leasing.attempts import Attempt
from services.pool_manager.model.capacity import AvailabilityForecast
from services.pool_manager.model.leases import (
    EVERY_COOLDOWN,
    Demand,
    Grant,
    HeartbeatRequest,
    Kept,
    LeaseToken,
    NotHeld,
    Refusal,
    Released,
    ReleaseRequest,
)
from services.pool_manager.model.proxies import Protocol, Proxy

_LEASE = statement("lease")
_FORECAST = statement("forecast")
_FORECAST_OF_ANY = statement("forecast_of_any")
_FORECAST_UNDER_POLICY = statement("forecast_under_policy")
_HEARTBEAT = statement("heartbeat")
_RELEASE = statement("release")
_RETURN = statement("return_unseen")

_VERDICTS = {"LOST": NotHeld.LOST, "UNKNOWN": NotHeld.UNKNOWN}


class PostgresLeases:
    """Leases in PostgreSQL: the store of `services.pool_manager.leasing.service`."""

    def __init__(self, url: str, *, cooldown: float, failure_limit: int, probe_pause: float = 60.0) -> None:
        """Prepares the store; the default cooldown and the pause before the first probe are in seconds."""
        self._sessions = [Session(url) for _ in range(5)]
        self._lease, self._heartbeat, self._release, self._return, self._forecast = self._sessions
        self._cooldown = timedelta(seconds=cooldown)
        self._failure_limit = failure_limit
        self._probe_pause = timedelta(seconds=probe_pause)

    def close(self) -> None:
        """Closes all connections."""
        for session in self._sessions:
            session.close()

    async def lease(self, attempts: Sequence[Attempt]) -> Sequence[Grant | Refusal]:
        """Grants an IP to each request that can have one; requests with one `request_id` share one."""
        claims = Counter(attempt.request.request_id for attempt in attempts)
        runs = _runs(attempts)
        distinct = [attempt for run in runs for attempt in run]
        requests = [attempt.request for attempt in distinct]
        ruled = any(request.policy is not EVERY_COOLDOWN for request in requests)
        rows = await self._lease.fetch(
            _LEASE,
            [request.request_id for request in requests],
            [request.country for request in requests],
            [request.offer for request in requests],
            [request.holder for request in requests],
            [timedelta(seconds=request.ttl) for request in requests],
            _array([claims[request.request_id] for request in requests]),
            _array([attempt.repeat_only for attempt in distinct]),
            self._cooldown,
            [request.policy.key for request in requests] if ruled else None,
            _array([request.policy.reuse for request in requests]) if ruled else None,
            _array(accumulate(map(len, runs))),
            _array(_nonces(len(requests))),
        )
        answers = dict(map(_grant_or_refusal, rows))
        return [answers[attempt.request.request_id] for attempt in attempts]

    async def forecast(self, demand: Demand, count: int) -> AvailabilityForecast:
        """Returns when the next `count` IPs come free if no lease is released early."""
        country, offer, policy = demand
        if policy != EVERY_COOLDOWN:
            rows = await self._forecast.fetch(_FORECAST_UNDER_POLICY, country, offer, policy.key, policy.reuse, count)
        elif country:
            rows = await self._forecast.fetch(_FORECAST, country, count, self._cooldown)
        else:
            rows = await self._forecast.fetch(_FORECAST_OF_ANY, count, self._cooldown)
        (row,) = rows
        return AvailabilityForecast(
            delays=tuple((moment - row["db_time"]).total_seconds() for moment in row["available_at"]),
            least_cooldown=row["least_cooldown"].total_seconds(),
        )

    async def heartbeat(self, requests: Sequence[HeartbeatRequest]) -> Sequence[Kept | NotHeld]:
        """Moves the end of each lease that is live."""
        rows = await self._heartbeat.fetch(
            _HEARTBEAT,
            *_columns([request.token for request in requests]),
            [timedelta(seconds=request.ttl) for request in requests],
            self._cooldown,
        )
        answers: dict[int, Kept | NotHeld] = {
            place: _VERDICTS.get(verdict) or Kept(expires_at, db_time) for place, verdict, expires_at, db_time in rows
        }
        return [answers[place] for place in range(1, len(requests) + 1)]

    async def release(self, requests: Sequence[ReleaseRequest]) -> Sequence[Released | NotHeld]:
        """Ends each lease that is live, and repeats the answer for those that were released before."""
        rows = await self._release.fetch(
            _RELEASE,
            *_columns([request.token for request in requests]),
            [request.outcome.value for request in requests],
            [request.failure_reason for request in requests],
            [None if request.trace_time is None else timedelta(seconds=request.trace_time) for request in requests],
            _array([request.bytes for request in requests]),
            self._cooldown,
            self._failure_limit,
            self._probe_pause,
        )
        answers: dict[int, Released | NotHeld] = {
            place: _VERDICTS.get(verdict) or Released(available_at, db_time)
            for place, verdict, available_at, db_time in rows
        }
        return [answers[place] for place in range(1, len(requests) + 1)]

    async def return_unseen(self, tokens: Sequence[LeaseToken]) -> None:
        """Gives back one claim on each lease; the last one frees the IP without a cooldown."""
        # Never twice: the second time would take the claim of somebody who did see the lease.
        await self._return.fetch(_RETURN, *_columns(tokens), repeatable=False)


def _runs(attempts: Sequence[Attempt]) -> Sequence[Sequence[Attempt]]:
    """Returns one of the attempts of each request, in runs of those that may have the same IPs.

    If one of them may get a new lease, it is that one. Requests for any country come last.
    """
    distinct: dict[str, Attempt] = {}
    for attempt in attempts:
        request_id = attempt.request.request_id
        if request_id not in distinct or distinct[request_id].repeat_only:
            distinct[request_id] = attempt
    runs: dict[Hashable, list[Attempt]] = {}
    for attempt in distinct.values():
        # Nearly always a country alone, which is quicker to look up.
        demand = attempt.request.country if attempt.request.policy is EVERY_COOLDOWN else attempt.request.demand
        runs.setdefault((demand, attempt.repeat_only), []).append(attempt)
    return sorted(runs.values(), key=lambda run: not run[0].request.country)


def _nonces(count: int) -> Iterator[str]:
    digits = os.urandom(16 * count).hex()
    return (digits[start : start + 32] for start in range(0, len(digits), 32))


def _columns(tokens: Sequence[LeaseToken]) -> tuple[str, str, str]:
    proxy_ids, fences, nonces = zip(*tokens, strict=True)
    return _array(proxy_ids), _array(fences), _array(nonces)


def _array(values: Iterable[int | str]) -> str:
    """Returns numbers, truth values, or hexadecimal digits as the text of an array of PostgreSQL.

    Of a list the driver asks for each number whether it is a list too, which takes six times as long.
    """
    return f"{{{','.join(map(str, values))}}}"


def _grant_or_refusal(row: Row) -> tuple[str, Grant | Refusal]:
    """Reads a row of the statement `lease`, whose columns come in this order: the request's id, and its answer."""
    request_id, db_time, proxy_id, fence, nonce, expires_at, *address, next_available_at = row
    if fence is None:
        return request_id, Refusal(next_available_at, db_time)
    ip_address, ip_port, protocol, provider, country = address
    proxy = Proxy(ip_address, ip_port, Protocol(protocol), provider, country)
    return request_id, Grant(LeaseToken(proxy_id, fence, nonce.hex), proxy, expires_at, db_time)
