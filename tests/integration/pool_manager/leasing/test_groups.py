"""Proves that in a group of leases each request gets what it asked for, however the group is mixed: countries and any,
offers under rules, repeats of live leases, twins, and requests that may only repeat.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import timedelta

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.pool_manager.db.leases import PostgresLeases
from services.pool_manager.leasing.attempts import Attempt
from services.pool_manager.model.leases import EVERY_COOLDOWN, CooldownPolicy, Grant, LeaseRequest, LeaseToken

IPS = {"us": 5, "gb": 2}
RULES = (
    EVERY_COOLDOWN,
    EVERY_COOLDOWN,
    EVERY_COOLDOWN,
    CooldownPolicy(reuse=True),
    CooldownPolicy(key="a.example"),
    CooldownPolicy(key="b.example", reuse=True),
)
NAMES = "abcdefgh"
# What each name asks for, and two groups in which some of them ask, some more than once.
DEMANDS = st.lists(
    st.tuples(st.sampled_from(["us", "us", "us", "gb", ""]), st.sampled_from(RULES)),
    min_size=len(NAMES), max_size=len(NAMES),
)  # fmt: skip
GROUPS = st.lists(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([False, False, False, True])), min_size=1, max_size=9),
    min_size=2, max_size=2,
)  # fmt: skip


def test_each_request_of_a_group_gets_what_it_asked_for(database: str) -> None:
    with asyncio.Runner() as runner, closing(PostgresLeases(database, cooldown=60, failure_limit=3)) as store:
        connection = runner.run(asyncpg.connect(database))

        @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
        @given(DEMANDS, GROUPS)
        def check(demands: Sequence[tuple[str, CooldownPolicy]], groups: Sequence[Sequence[tuple[str, bool]]]) -> None:
            requests = {
                name: LeaseRequest(name, country, f"offer-{name}", f"holder-{name}", 100.0 + place, 0.0, policy=rule)
                for place, (name, (country, rule)) in enumerate(zip(NAMES, demands, strict=True))
            }
            runner.run(lease_groups(store, connection, requests, groups))

        try:
            check()
        finally:
            runner.run(connection.close())


async def lease_groups(
    store: PostgresLeases,
    connection: "asyncpg.Connection[asyncpg.Record]",
    requests: Mapping[str, LeaseRequest],
    groups: Sequence[Sequence[tuple[str, bool]]],
) -> None:
    await connection.execute("TRUNCATE pool.proxies, pool.leases")
    for country, count in IPS.items():
        await connection.execute(
            "INSERT INTO pool.proxies (ip_address, ip_port, country)"
            " SELECT $1 || n, 1, $1 FROM generate_series(1, $2) AS n",
            country, count,
        )  # fmt: skip
    held: dict[str, LeaseToken] = {}
    claims: Counter[str] = Counter()
    for group in groups:
        answers = await store.lease([Attempt(requests[name], repeat_only) for name, repeat_only in group])
        wanted = {name for name, repeat_only in group if not repeat_only}
        free = {
            row["country"]
            for row in await connection.fetch(
                "SELECT country FROM pool.proxies WHERE available_at <= clock_timestamp()"
            )
        }
        for (name, _), answer in zip(group, answers, strict=True):
            if isinstance(answer, Grant):
                assert name in wanted or name in held, "it may only repeat"
                assert answer.token == held.setdefault(name, answer.token)
                claims[name] += 1
            else:
                assert name not in held
                country = requests[name].country
                assert name not in wanted or not (free if country == "" else free & {country}), "one was left over"
    assert len({token.proxy_id for token in held.values()}) == len(held)
    assert len({token.nonce for token in held.values()}) == len(held)
    assert await connection.fetchval("SELECT count(*) FROM pool.proxies WHERE fence > 0") == len(held)
    for name, token in held.items():
        row = await connection.fetchrow("SELECT * FROM pool.proxies WHERE id = $1", token.proxy_id)
        assert row is not None
        request = requests[name]
        assert (row["fence"], row["nonce"].hex, row["request_id"]) == (token.fence, token.nonce, name)
        assert (row["offer"], row["holder"], row["claims"]) == (request.offer, request.holder, claims[name])
        assert row["expires_at"] - row["granted_at"] == timedelta(seconds=request.ttl)
        assert (row["rest_key"], row["reusable"]) == (request.policy.key, request.policy.reuse)
        assert request.country in ("", row["country"])
