"""The seed's maintenance call, on the internal port: for operators only, and it says what was done."""

import json
from datetime import UTC, datetime, timedelta

import asyncpg

from services.gateway.clicks.retention import Retention
from services.gateway.db.clicks import ClickTable
from services.gateway.db.leads import LeadTable
from services.gateway.db.webhooks import WebhookTable
from tests.integration.gateway.world import Reply, World, parsed, raw, unfinished, world

PATH = "/functions/v1/ip-pool-maintenance"


async def ask(w: World, *headers: str, method: str = "POST", port: int | None = None) -> Reply:
    lines = [f"{method} {PATH} HTTP/1.1", "Host: x", "Connection: close", "Content-Length: 0", *headers, "", ""]
    return parsed(await raw(port or w.ports.internal, "\r\n".join(lines).encode()))


async def test_it_maintains_the_pool_and_the_log_and_says_what_was_done(database: str) -> None:
    async with asyncpg.create_pool(database) as pool, world(database) as w:
        two_months_ago = datetime.now(UTC) - timedelta(days=60)
        deleted = 0
        # The gateway has a round of its own when it starts, which may be faster; but only once.
        for number in range(2):
            await ClickTable(pool).write(
                [unfinished(f"{number}" * 32, give_up_in=1), unfinished("b" * 32, give_up_in=1)]
            )
            await pool.execute("UPDATE clicks.clicks SET start_time = $1 WHERE click_id < 'b'", two_months_ago)
            reply = await ask(w)
            assert reply.status == 200
            assert reply.header("Content-Type").startswith("application/json")
            told = json.loads(reply.body)
            deleted += told.pop("deleted_clicks")
            assert told == {
                "statistics_rows": 5,
                "expired_leases": 2,
                "deleted_rows": 0,
                "findings": ["few IPs are left in us"],
                "skipped": False,
            }
        assert deleted >= 1
        assert [row[0] for row in await pool.fetch("SELECT click_id FROM clicks.clicks")] == ["b" * 32]


async def test_it_needs_the_operator_token_of_the_gateway_and_of_the_pool(database: str) -> None:
    async with world(database, operator_token="s3cret") as w:
        w.pool_admin.token = "s3cret"
        assert (await ask(w, "Authorization: Bearer s3cret")).status == 200
        missing = await ask(w)
        assert (missing.status, missing.header("WWW-Authenticate")) == (401, "Bearer")
        assert missing.body.startswith(b"OPERATOR_TOKEN_REQUIRED: ")
        wrong = await ask(w, "Authorization: Bearer marker")
        assert wrong.status == 403
        assert b"marker" not in wrong.body
        w.pool_admin.token = "another"
        assert (await ask(w, "Authorization: Bearer s3cret")).status == 403


async def test_it_is_a_post_on_the_internal_port_only(database: str) -> None:
    async with world(database) as w:
        assert (await ask(w, method="GET")).status == 405
        assert (await ask(w, port=w.ports.public)).status == 404


async def test_without_a_pool_manager_it_says_so(database: str) -> None:
    async with world(database, pool_target="dns:///127.0.0.1:1") as w:
        assert (await ask(w)).status == 503


async def test_maintenance_deletes_what_is_too_old_and_nothing_else(database: str) -> None:
    async with asyncpg.create_pool(database) as pool, LeadTable(pool) as leads:
        clicks, webhooks = ClickTable(pool), WebhookTable(pool)
        await clicks.write([unfinished(f"{number:032x}", give_up_in=1) for number in range(4)])
        await pool.execute(
            "UPDATE clicks.clicks SET start_time = now() - interval '2 days' WHERE click_id < $1", f"{2:032x}"
        )
        await leads.claim_leader("old", "c", -1)
        await leads.claim_leader("new", "c", 60)
        await pool.execute(
            "INSERT INTO clicks.webhooks (click_id, offer, url, dead, create_time) VALUES"
            " ('a', '', '', true, now() - interval '2 days'), ('b', '', '', false, now() - interval '2 days'),"
            " ('c', '', '', true, now())"
        )
        await Retention(clicks, leads, webhooks, retention=86_400).once()
        assert await pool.fetchval("SELECT count(*) FROM clicks.clicks") == 2
        assert [row[0] for row in await pool.fetch("SELECT identity FROM clicks.journeys")] == ["new"]
        assert [row[0] for row in await pool.fetch("SELECT click_id FROM clicks.webhooks ORDER BY 1")] == ["b", "c"]
