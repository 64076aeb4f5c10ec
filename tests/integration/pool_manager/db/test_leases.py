"""Proves what the SQL of a lease promises: idempotent grants, exact cooldowns, growing fences, and tokens that mean
nothing once their time is over, also after a wait for a row lock.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from services.pool_manager.db.leases import PostgresLeases
from services.pool_manager.db.pool import PostgresPool
from services.pool_manager.leasing.attempts import Attempt
from services.pool_manager.model.leases import (
    Grant,
    HeartbeatRequest,
    Kept,
    LeaseToken,
    NotHeld,
    Outcome,
    Refusal,
    Released,
    ReleaseRequest,
)
from tests.integration.pool_manager.store import (
    Pool,
    clock,
    heartbeat,
    lease,
    provision,
    release,
    request,
    row_locked,
    rows,
    try_lease,
    until,
)

MINUTE = timedelta(seconds=60)


async def test_a_lease_names_its_proxy_and_its_end(leases: PostgresLeases, admin_store: PostgresPool) -> None:
    await provision(admin_store, 1, country="gb")
    grant = await lease(leases, "click", country="gb", ttl=20)
    assert (grant.proxy.ip_address, grant.proxy.ip_port, grant.proxy.country) == ("proxy-gb-1", 7000, "gb")
    assert grant.expire_time == grant.db_time + timedelta(seconds=20)


async def test_the_longest_rested_ip_comes_first(leases: PostgresLeases, admin_store: PostgresPool, pool: Pool) -> None:
    await provision(admin_store, 3)
    await pool.execute("UPDATE pool.proxies SET available_at = now() - id * interval '1 minute'")
    assert [(await lease(leases, f"click-{number}")).token.proxy_id for number in range(3)] == [3, 2, 1]


async def test_any_country_takes_from_all_and_a_country_only_its_own(
    leases: PostgresLeases, admin_store: PostgresPool
) -> None:
    await provision(admin_store, 1, country="gb")
    await provision(admin_store, 1, country="us")
    assert (await lease(leases, "a", country="us")).proxy.country == "us"
    assert isinstance(await try_lease(leases, "b", country="us"), Refusal)
    assert (await lease(leases, "c", country="")).proxy.country == "gb"
    refused = await try_lease(leases, "d", country="de")
    assert isinstance(refused, Refusal)
    assert refused.next_available is None


async def test_a_refusal_says_when_the_next_ip_is_free(leases: PostgresLeases, admin_store: PostgresPool) -> None:
    await provision(admin_store, 2)
    first = await lease(leases, "a", ttl=5)
    await lease(leases, "b", ttl=9)
    refused = await try_lease(leases, "c")
    assert isinstance(refused, Refusal)
    assert refused.next_available == first.expire_time + MINUTE


async def test_a_repeated_request_gets_the_same_lease_while_it_lives(
    leases: PostgresLeases, admin_store: PostgresPool
) -> None:
    await provision(admin_store, 5)
    first = await lease(leases, "click")
    again = await lease(leases, "click", country="gb")
    assert (again.token, again.expire_time) == (first.token, first.expire_time)
    await release(leases, first.token)
    assert (await lease(leases, "click")).token.proxy_id != first.token.proxy_id


async def test_an_expired_lease_is_not_given_again(
    leases: PostgresLeases, admin_store: PostgresPool, pool: Pool
) -> None:
    await provision(admin_store, 2)
    first = await lease(leases, "click", ttl=0.05)
    await until(pool, first.expire_time)
    assert (await lease(leases, "click")).token.proxy_id != first.token.proxy_id


async def test_twins_in_one_group_share_an_ip_and_others_do_not(
    leases: PostgresLeases, admin_store: PostgresPool
) -> None:
    await provision(admin_store, 4)
    names = ["a", "b", "a", "c", "a", "d", "e"]
    answers = await leases.lease([Attempt(request(name), repeat_only=False) for name in names])
    tokens = {name: answer.token for name, answer in zip(names, answers, strict=True) if isinstance(answer, Grant)}
    assert len({token.proxy_id for token in tokens.values()}) == 4
    assert [isinstance(answer, Refusal) for answer in answers] == [False] * 6 + [True]
    assert {answer.token for answer in answers if isinstance(answer, Grant)} == set(tokens.values())


async def test_a_request_that_may_only_repeat_takes_no_new_ip(
    leases: PostgresLeases, admin_store: PostgresPool
) -> None:
    await provision(admin_store, 2)
    held = await lease(leases, "held")
    answers = await leases.lease(
        [Attempt(request("held"), repeat_only=True), Attempt(request("new"), repeat_only=True)]
    )
    assert isinstance(answers[0], Grant)
    assert answers[0].token == held.token
    assert isinstance(answers[1], Refusal)


async def test_groups_of_several_countries_are_answered_in_order(
    leases: PostgresLeases, admin_store: PostgresPool
) -> None:
    for country in ("us", "gb", "de"):
        await provision(admin_store, 2, country=country)
    wanted = ["gb", "us", "", "de", "gb", "us", "", "gb"]
    answers = await leases.lease(
        [
            Attempt(request(f"click-{number}", country=country), repeat_only=False)
            for number, country in enumerate(wanted)
        ]
    )
    got = [answer.proxy.country if isinstance(answer, Grant) else None for answer in answers]
    assert got[:2] + got[3:6] == ["gb", "us", "de", "gb", "us"]
    assert sorted(str(country) for country in (got[2], got[6])) == ["None", "de"]
    assert got[7] is None


async def test_release_starts_the_cooldown_and_a_repeat_moves_nothing(
    leases: PostgresLeases, admin_store: PostgresPool, pool: Pool
) -> None:
    await provision(admin_store, 1)
    grant = await lease(leases, "click")
    first = await release(leases, grant.token)
    assert isinstance(first, Released)
    assert first.available_time == first.db_time + MINUTE
    again = await release(leases, grant.token, Outcome.PROXY_FAILURE)
    assert isinstance(again, Released)
    assert again.available_time == first.available_time
    assert await rows(pool, "SELECT available_at, consecutive_failures FROM pool.proxies") == [
        {"available_at": first.available_time, "consecutive_failures": 0}
    ]
    assert await rows(pool, "SELECT ending, outcome, trace_time, bytes FROM pool.leases") == [
        {"ending": "RELEASED", "outcome": "SUCCESS", "trace_time": timedelta(seconds=1.5), "bytes": 1000}
    ]


async def test_twin_releases_in_one_group_end_the_lease_once(
    leases: PostgresLeases, admin_store: PostgresPool, pool: Pool
) -> None:
    await provision(admin_store, 1)
    grant = await lease(leases, "click")
    answers = await leases.release(
        [
            ReleaseRequest(grant.token, Outcome.PROXY_FAILURE, "PROXY_REFUSED", None, 0),
            ReleaseRequest(grant.token, Outcome.SUCCESS, "", None, 0),
        ]
    )
    assert answers[0] == answers[1]
    assert isinstance(answers[0], Released)
    assert await rows(pool, "SELECT outcome, failure_reason FROM pool.leases") == [
        {"outcome": "PROXY_FAILURE", "failure_reason": "PROXY_REFUSED"}
    ]


async def test_the_cooldown_is_the_proxys_then_the_providers_then_the_default(
    leases: PostgresLeases, admin_store: PostgresPool, pool: Pool
) -> None:
    await pool.execute("INSERT INTO pool.providers (name, cooldown) VALUES ('slow', '120 s')")
    await provision(admin_store, 1, country="us", provider="slow", cooldown=7)
    await provision(admin_store, 1, country="gb", provider="slow")
    await provision(admin_store, 1, country="de", provider="quick")
    for country, seconds in (("us", 7), ("gb", 120), ("de", 60)):
        grant = await lease(leases, country, country=country)
        kept = await heartbeat(leases, grant.token, ttl=1)
        assert isinstance(kept, Kept)
        assert await pool.fetchval(
            "SELECT available_at FROM pool.proxies WHERE country = $1", country
        ) == kept.expire_time + timedelta(seconds=seconds)
        released = await release(leases, grant.token)
        assert isinstance(released, Released)
        assert released.available_time == released.db_time + timedelta(seconds=seconds)


async def test_an_ip_is_leased_again_at_the_end_of_its_cooldown_and_not_before(
    leases: PostgresLeases, admin_store: PostgresPool, pool: Pool
) -> None:
    await provision(admin_store, 1, cooldown=0.1)
    for number in range(3):
        grant = await lease(leases, f"click-{number}")
        released = await release(leases, grant.token)
        assert isinstance(released, Released)
        assert isinstance(await try_lease(leases, "early"), Refusal)
        await until(pool, released.available_time)


async def test_the_cooldown_follows_an_expiry_too(
    leases: PostgresLeases, admin_store: PostgresPool, pool: Pool
) -> None:
    await provision(admin_store, 1, cooldown=0.1)
    grant = await lease(leases, "click", ttl=0.05)
    await until(pool, grant.expire_time)
    refused = await try_lease(leases, "next")
    assert isinstance(refused, Refusal)
    assert refused.next_available == grant.expire_time + timedelta(seconds=0.1)
    await until(pool, refused.next_available)
    following = await lease(leases, "next")
    assert following.token.fence > grant.token.fence
    assert await rows(pool, "SELECT request_id, ending, ended_at, outcome FROM pool.leases") == [
        {"request_id": "click", "ending": "EXPIRED", "ended_at": grant.expire_time, "outcome": None}
    ]


async def test_heartbeat_moves_the_end_and_the_last_one_of_a_group_counts(
    leases: PostgresLeases, admin_store: PostgresPool
) -> None:
    await provision(admin_store, 1)
    grant = await lease(leases, "click", ttl=5)
    answers = await leases.heartbeat([HeartbeatRequest(grant.token, ttl) for ttl in (10, 40, 20)])
    assert {type(answer) for answer in answers} == {Kept}
    assert {answer.expire_time - answer.db_time for answer in answers if isinstance(answer, Kept)} == {
        timedelta(seconds=20)
    }


async def test_a_lease_that_is_over_cannot_be_kept_or_ended(
    leases: PostgresLeases, admin_store: PostgresPool, pool: Pool
) -> None:
    await provision(admin_store, 1, cooldown=0.02)
    old = await lease(leases, "old", ttl=0.05)
    await until(pool, old.expire_time)
    assert await heartbeat(leases, old.token) is NotHeld.LOST
    assert await release(leases, old.token) is NotHeld.LOST
    await until(pool, old.expire_time + timedelta(seconds=0.02))
    new = await lease(leases, "new")
    before = await rows(pool, "SELECT * FROM pool.proxies")
    assert await heartbeat(leases, old.token) is NotHeld.LOST
    assert await release(leases, old.token, Outcome.PROXY_FAILURE) is NotHeld.LOST
    assert await rows(pool, "SELECT * FROM pool.proxies") == before
    await release(leases, new.token)
    assert await heartbeat(leases, new.token) is NotHeld.LOST


async def test_an_invented_token_changes_nothing(leases: PostgresLeases, admin_store: PostgresPool, pool: Pool) -> None:
    await provision(admin_store, 2)
    held = (await lease(leases, "click")).token
    before = await rows(pool, "SELECT * FROM pool.proxies ORDER BY id")
    idle = ({1, 2} - {held.proxy_id}).pop()
    for token in (
        held._replace(nonce="0" * 32),
        held._replace(fence=held.fence + 1),
        held._replace(proxy_id=99),
        LeaseToken(idle, 1, held.nonce),
    ):
        assert await heartbeat(leases, token) is NotHeld.UNKNOWN
        assert await release(leases, token) is NotHeld.UNKNOWN
    await leases.return_unseen([held._replace(nonce="0" * 32)])
    assert await rows(pool, "SELECT * FROM pool.proxies ORDER BY id") == before


async def test_a_group_answers_each_item_whatever_the_others_are(
    leases: PostgresLeases, admin_store: PostgresPool
) -> None:
    await provision(admin_store, 2)
    good, other = (await lease(leases, "a")).token, (await lease(leases, "b")).token
    bad = good._replace(nonce="f" * 32)
    answers = await leases.release(
        [ReleaseRequest(token, Outcome.SUCCESS, "", None, 0) for token in (bad, good, bad, other, good)]
    )
    assert [type(answer) if isinstance(answer, Released) else answer for answer in answers] == [
        NotHeld.UNKNOWN,
        Released,
        NotHeld.UNKNOWN,
        Released,
        Released,
    ]


async def test_the_fence_grows_with_every_lease_also_when_the_proxy_was_deleted_meanwhile(
    leases: PostgresLeases, admin_store: PostgresPool, pool: Pool
) -> None:
    fences = []
    for number in range(4):
        await provision(admin_store, 1, cooldown=0)
        grant = await lease(leases, f"click-{number}")
        fences.append(grant.token.fence)
        await release(leases, grant.token)
        if number % 2:
            await pool.execute("DELETE FROM pool.proxies")
    assert fences == sorted(set(fences))


async def test_a_release_that_waited_for_the_row_gives_the_full_cooldown(
    leases: PostgresLeases, admin_store: PostgresPool, pool: Pool
) -> None:
    await provision(admin_store, 1)
    grant = await lease(leases, "click")
    async with row_locked(pool, grant.token.proxy_id) as blocker:
        releasing = asyncio.create_task(release(leases, grant.token))
        await blocker.blocks()
        await until(pool, await clock(pool) + timedelta(seconds=0.1))
        unlocked = await clock(pool)
    released = await releasing
    assert isinstance(released, Released)
    assert released.available_time >= unlocked + MINUTE


async def test_a_heartbeat_that_waited_past_the_end_revives_nothing(
    leases: PostgresLeases, admin_store: PostgresPool, pool: Pool
) -> None:
    await provision(admin_store, 1)
    grant = await lease(leases, "click", ttl=1.0)
    async with row_locked(pool, grant.token.proxy_id) as blocker:
        keeping = asyncio.create_task(heartbeat(leases, grant.token))
        await blocker.blocks()
        assert await clock(pool) < grant.expire_time, "the heartbeat must have been sent in time"
        await until(pool, grant.expire_time)
    assert await keeping is NotHeld.LOST


async def test_a_grant_never_waits_for_a_locked_row(
    leases: PostgresLeases, admin_store: PostgresPool, pool: Pool
) -> None:
    await provision(admin_store, 2)
    async with row_locked(pool, 1):
        assert (await lease(leases, "a")).token.proxy_id == 2
        refused = await try_lease(leases, "b")
        assert isinstance(refused, Refusal)
        assert refused.retry_after == 0


async def test_a_lease_that_nobody_saw_comes_back_without_a_cooldown(
    leases: PostgresLeases, admin_store: PostgresPool, pool: Pool
) -> None:
    await provision(admin_store, 1)
    unseen = await lease(leases, "unseen")
    await leases.return_unseen([unseen.token])
    assert await heartbeat(leases, unseen.token) is NotHeld.LOST
    assert (await lease(leases, "next")).token.proxy_id == unseen.token.proxy_id
    assert await rows(pool, "SELECT * FROM pool.leases") == []


async def test_a_lease_that_one_of_two_callers_saw_is_kept(leases: PostgresLeases, admin_store: PostgresPool) -> None:
    await provision(admin_store, 1)
    first = await lease(leases, "click")
    second = await lease(leases, "click")
    assert second.token == first.token
    await leases.return_unseen([first.token])
    assert isinstance(await heartbeat(leases, second.token), Kept)
    await leases.return_unseen([first.token])
    assert await heartbeat(leases, second.token) is NotHeld.LOST


async def test_twins_of_one_group_hold_a_claim_each(leases: PostgresLeases, admin_store: PostgresPool) -> None:
    await provision(admin_store, 1)
    answers = await leases.lease([Attempt(request("click"), repeat_only=False)] * 3)
    (token,) = {answer.token for answer in answers if isinstance(answer, Grant)}
    await leases.return_unseen([token, token])
    assert isinstance(await heartbeat(leases, token), Kept)


@pytest.mark.parametrize(
    ("outcomes", "failures"),
    [
        ("FFF", 3),
        ("FF", 2),
        ("FFSF", 1),
        ("FFTF", 1),
        ("FFCF", 3),
        ("FFUF", 3),
        ("FF-F", 3),
        ("CCCTTTSS", 0),
        ("UUUU----", 0),
    ],
)
async def test_three_proxy_failures_in_a_row_take_an_ip_out(
    leases: PostgresLeases, admin_store: PostgresPool, pool: Pool, outcomes: str, failures: int
) -> None:
    healthy = failures < 3
    named = {outcome.value[0]: outcome for outcome in Outcome}
    named |= {"F": Outcome.PROXY_FAILURE, "U": Outcome.UNCLEAR_FAILURE, "-": Outcome.UNUSED}
    await provision(admin_store, 1, cooldown=0)
    for number, letter in enumerate(outcomes):
        await release(leases, (await lease(leases, f"click-{number}")).token, named[letter])
    assert await rows(pool, "SELECT consecutive_failures, is_healthy, status FROM ip_rotation_pool") == [
        {
            "consecutive_failures": failures,
            "is_healthy": healthy,
            "status": "available" if healthy else "unhealthy",
        }
    ]
    assert isinstance(await try_lease(leases, "next"), Grant if healthy else Refusal)


async def test_an_ip_through_which_nothing_left_is_free_at_once(
    leases: PostgresLeases, admin_store: PostgresPool
) -> None:
    await provision(admin_store, 1, cooldown=60)
    first = await lease(leases, "first")
    unused = await release(leases, first.token, Outcome.UNUSED)
    assert isinstance(unused, Released)
    assert unused.available_time == unused.db_time
    again = await lease(leases, "second")
    assert again.token.fence > first.token.fence
    used = await release(leases, again.token, Outcome.CANCELLED)
    assert isinstance(used, Released)
    assert used.available_time == used.db_time + MINUTE


async def test_a_drained_ip_grants_nothing_new_but_its_lease_may_finish(
    leases: PostgresLeases, admin_store: PostgresPool, pool: Pool
) -> None:
    await provision(admin_store, 1, cooldown=0)
    grant = await lease(leases, "click")
    await pool.execute("UPDATE pool.proxies SET drained = true")
    assert isinstance(await heartbeat(leases, grant.token), Kept)
    assert isinstance(await release(leases, grant.token), Released)
    refused = await try_lease(leases, "next")
    assert isinstance(refused, Refusal)
    assert refused.next_available is None


async def test_opposite_groups_never_lock_each_other_out(
    leases: PostgresLeases, admin_store: PostgresPool, database: str
) -> None:
    other = PostgresLeases(database, cooldown=60, failure_limit=3)
    await provision(admin_store, 40)
    answers = await leases.lease([Attempt(request(f"click-{number}"), repeat_only=False) for number in range(40)])
    tokens = [answer.token for answer in answers if isinstance(answer, Grant)]
    beats = [HeartbeatRequest(token, 30.0) for token in tokens]
    names = [Attempt(request(f"again-{number}"), repeat_only=False) for number in range(40)]
    for _ in range(20):
        await asyncio.gather(
            leases.heartbeat(beats),
            other.heartbeat(beats[::-1]),
            leases.lease(names),
            other.lease([replace(ask) for ask in reversed(names)]),
        )
    other.close()
