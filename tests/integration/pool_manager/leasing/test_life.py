"""Proves the whole life of leases against a model: random sequences of leases, repeats, heartbeats, releases, returns,
expiry and changes by operators, each answer foretold from what the answers before said.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import asyncpg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.pool_manager.db.leases import PostgresLeases
from services.pool_manager.leasing.attempts import Attempt
from services.pool_manager.model.leases import (
    Grant,
    HeartbeatRequest,
    Kept,
    LeaseToken,
    NotHeld,
    Outcome,
    Released,
    ReleaseRequest,
)
from tests.integration.pool_manager.store import request

Value = TypeVar("Value")
FAILURE_LIMIT = 2
COUNTRIES = ("us", "gb", "")
# Short enough to run out within an example, long enough to be worked with before that.
TTLS = st.sampled_from([0.02, 5.0, 60.0])


@dataclass
class Lease:
    """What the model knows of a lease."""

    token: LeaseToken
    request_id: str
    expire: datetime
    claims: int = 1
    available: datetime | None = None
    """The end of its cooldown, once it was released."""
    over: bool = False
    """Whether it was released, returned, or its IP has a later one."""


@dataclass
class Ip:
    """What the model knows of an IP."""

    country: str
    cooldown: timedelta
    available: datetime
    fence: int = 0
    failures: int = 0
    healthy: bool = True
    drained: bool = False


class Life(RuleBasedStateMachine):
    """One pool, one caller at a time, and a clock that is asked before and after every call."""

    url: str
    runner: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        self.store = PostgresLeases(self.url, cooldown=60, failure_limit=FAILURE_LIMIT)
        self.database = self.run(asyncpg.connect(self.url))
        self.ips: dict[int, Ip] = {}
        self.leases: list[Lease] = []
        self.fence = 0

    def run(self, work: Coroutine[Any, Any, Value]) -> Value:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.database.close())
        self.store.close()

    def now(self) -> datetime:
        moment: datetime = self.run(self.database.fetchval("SELECT clock_timestamp()"))
        return moment

    @initialize(
        pool=st.lists(
            st.tuples(st.sampled_from(["us", "gb"]), st.sampled_from([0.0, 0.02, 60.0])), min_size=1, max_size=4
        )
    )
    def fill(self, pool: list[tuple[str, float]]) -> None:
        self.run(self.database.execute("TRUNCATE pool.proxies, pool.leases RESTART IDENTITY"))
        for number, (country, cooldown) in enumerate(pool, 1):
            rest = timedelta(seconds=cooldown)
            self.run(
                self.database.execute(
                    "INSERT INTO ip_rotation_pool (ip_address, ip_port, country, cooldown) VALUES ($1, 1, $2, $3)",
                    f"proxy-{number}", country, rest,
                )
            )  # fmt: skip
            self.ips[number] = Ip(country, rest, self.now())

    def free(self, country: str, moment: datetime) -> set[int]:
        return {
            number
            for number, ip in self.ips.items()
            if ip.healthy and not ip.drained and country in {ip.country, ""} and ip.available <= moment
        }

    @rule(names=st.lists(st.integers(0, 6), min_size=1, max_size=5), country=st.sampled_from(COUNTRIES), ttl=TTLS)
    def lease(self, names: list[int], country: str, ttl: float) -> None:
        before = self.now()
        asks = [Attempt(request(f"request-{name}", country=country, ttl=ttl), repeat_only=False) for name in names]
        answers = self.run(self.store.lease(asks))
        after = self.now()
        surely_free, perhaps_free = self.free(country, before), self.free(country, after)
        # Within a statement fences come in the order of its rows, which is not that of the requests.
        last_fence = self.fence
        for ask, answer in zip(asks, answers, strict=True):
            name = ask.request.request_id
            surely = [known for known in self.leases if known.request_id == name and self.lives(known, after)]
            perhaps = [known for known in self.leases if known.request_id == name and self.lives(known, before)]
            if isinstance(answer, Grant):
                repeated = [known for known in perhaps if known.token == answer.token]
                if repeated:
                    assert answer.expire_time == repeated[0].expire
                    repeated[0].claims += 1
                    continue
                assert not surely, "a live lease must be found again"
                self.granted(answer, name, ttl, perhaps_free, last_fence)
                surely_free.discard(answer.token.proxy_id)
                perhaps_free.discard(answer.token.proxy_id)
            else:
                assert not surely
                assert not surely_free, "a free IP must be granted"
                usable = [ip.available for ip in self.ips.values()
                          if ip.healthy and not ip.drained and country in {ip.country, ""}]  # fmt: skip
                assert answer.next_available == min(usable, default=None)

    def granted(self, grant: Grant, name: str, ttl: float, perhaps_free: set[int], last_fence: int) -> None:
        number = grant.token.proxy_id
        assert number in perhaps_free
        ip = self.ips[number]
        assert grant.db_time >= ip.available
        assert grant.token.fence > max(last_fence, ip.fence)
        assert grant.token.fence not in {known.token.fence for known in self.leases}
        assert grant.expire_time == grant.db_time + timedelta(seconds=ttl)
        for known in self.leases:
            known.over = known.over or known.token.proxy_id == number
        ip.fence = grant.token.fence
        self.fence = max(self.fence, ip.fence)
        ip.available = grant.expire_time + ip.cooldown
        self.leases.append(Lease(grant.token, name, grant.expire_time))

    def lives(self, lease: Lease, moment: datetime) -> bool:
        return not lease.over and lease.expire > moment

    @precondition(lambda self: self.leases)
    @rule(picks=st.lists(st.integers(0, 50), min_size=1, max_size=4), ttl=TTLS)
    def heartbeat(self, picks: list[int], ttl: float) -> None:
        chosen = [self.leases[pick % len(self.leases)] for pick in picks]
        before = self.now()
        answers = self.run(self.store.heartbeat([HeartbeatRequest(lease.token, ttl) for lease in chosen]))
        after = self.now()
        lived = [self.lives(lease, after) for lease in chosen]
        for lease, surely, answer in zip(chosen, lived, answers, strict=True):
            if isinstance(answer, Kept):
                assert not lease.over
                assert answer.db_time < lease.expire
                assert answer.expire_time == answer.db_time + timedelta(seconds=ttl)
            else:
                assert answer is NotHeld.LOST
                assert not surely, "a live lease must be kept"
                assert not self.lives(lease, after)
        for lease, answer in zip(chosen, answers, strict=True):
            if isinstance(answer, Kept):
                assert before <= answer.db_time <= after
                lease.expire = answer.expire_time
                ip = self.ips[lease.token.proxy_id]
                ip.available = lease.expire + ip.cooldown

    @precondition(lambda self: self.leases)
    @rule(
        picks=st.lists(st.tuples(st.integers(0, 50), st.sampled_from(list(Outcome))), min_size=1, max_size=4),
    )
    def release(self, picks: list[tuple[int, Outcome]]) -> None:
        chosen = [(self.leases[pick % len(self.leases)], outcome) for pick, outcome in picks]
        answers = self.run(
            self.store.release([ReleaseRequest(lease.token, outcome, "", None, 0) for lease, outcome in chosen])
        )
        after = self.now()
        for (lease, outcome), answer in zip(chosen, answers, strict=True):
            ip = self.ips[lease.token.proxy_id]
            current = ip.fence == lease.token.fence
            if not isinstance(answer, Released):
                assert answer is NotHeld.LOST
                assert not self.lives(lease, after), "a live lease must be released"
                assert lease.available is None or not current
            elif lease.available is not None:
                assert current
                assert answer.available_time == lease.available
            else:
                assert not lease.over
                assert answer.db_time < lease.expire
                rest = timedelta(0) if outcome is Outcome.UNUSED else ip.cooldown
                assert answer.available_time == answer.db_time + rest
                self.released(lease, ip, answer, outcome)

    def released(self, lease: Lease, ip: Ip, answer: Released, outcome: Outcome) -> None:
        lease.over = True
        lease.available = ip.available = answer.available_time
        if outcome is Outcome.PROXY_FAILURE:
            ip.failures += 1
            ip.healthy = ip.healthy and ip.failures < FAILURE_LIMIT
        elif outcome in (Outcome.SUCCESS, Outcome.TARGET_FAILURE):
            ip.failures = 0

    @precondition(lambda self: self.leases)
    @rule(pick=st.integers(0, 50))
    def return_unseen(self, pick: int) -> None:
        lease = self.leases[pick % len(self.leases)]
        before = self.now()
        self.run(self.store.return_unseen([lease.token]))
        after = self.now()
        if not lease.over:
            lease.claims -= 1
            if lease.claims == 0:
                lease.over = True
                ip = self.ips[lease.token.proxy_id]
                ip.available = self.run(
                    self.database.fetchval("SELECT available_at FROM pool.proxies WHERE id = $1", lease.token.proxy_id)
                )
                assert before <= ip.available <= after

    @precondition(lambda self: self.leases)
    @rule(pick=st.integers(0, 50), change=st.sampled_from(["nonce", "fence", "proxy"]))
    def invent(self, pick: int, change: str) -> None:
        token = self.leases[pick % len(self.leases)].token
        invented = {
            "nonce": token._replace(nonce=token.nonce[::-1]),
            "fence": token._replace(fence=self.fence + 1),
            "proxy": token._replace(proxy_id=99),
        }[change]
        changed = "SELECT md5(string_agg(p::text, '' ORDER BY id)) FROM pool.proxies AS p"
        before = self.run(self.database.fetchval(changed))
        beat, end = HeartbeatRequest(invented, 5.0), ReleaseRequest(invented, Outcome.PROXY_FAILURE, "", None, 0)
        answers = [*self.run(self.store.heartbeat([beat])), *self.run(self.store.release([end]))]
        assert all(isinstance(answer, NotHeld) for answer in answers)
        self.run(self.store.return_unseen([invented]))
        assert self.run(self.database.fetchval(changed)) == before

    @rule()
    def pause(self) -> None:
        self.run(self.database.execute("SELECT pg_sleep(0.021)"))

    @rule(number=st.integers(1, 4), drained=st.booleans())
    def drain(self, number: int, drained: bool) -> None:
        if number in self.ips:
            self.ips[number].drained = drained
            self.run(self.database.execute("UPDATE ip_rotation_pool SET drained = $2 WHERE id = $1", number, drained))

    @rule()
    def reset_health(self) -> None:
        for ip in self.ips.values():
            ip.healthy, ip.failures = True, 0
        self.run(self.database.execute("UPDATE ip_rotation_pool SET is_healthy = true, consecutive_failures = 0"))

    @rule()
    def close_expired(self) -> None:
        self.run(self.database.execute("SELECT release_expired_ip_locks()"))
        after = self.now()
        for lease in self.leases:
            # Closed or not, it can neither be kept nor returned any more.
            lease.over = lease.over or lease.expire <= after

    @invariant()
    def the_database_is_as_foretold(self) -> None:
        rows = self.run(self.database.fetch("SELECT * FROM ip_rotation_pool"))
        for row in rows:
            ip = self.ips[row["id"]]
            assert (row["available_at"] == ip.available) or not ip.fence
            assert (row["fence"], row["is_healthy"], row["consecutive_failures"]) == (ip.fence, ip.healthy, ip.failures)
        held = self.run(
            self.database.fetchval("SELECT count(*) FROM pool.leases AS l JOIN pool.leases AS m ON l.fence < m.fence"
                                   " AND l.proxy_id = m.proxy_id AND l.ended_at > m.granted_at")
        )  # fmt: skip
        assert held == 0, "two leases of one IP overlap in the history"


def test_the_life_of_leases_goes_as_the_model_says(database: str) -> None:
    with asyncio.Runner() as runner:
        machine = type("LifeOnDatabase", (Life,), {"url": database, "runner": runner})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
