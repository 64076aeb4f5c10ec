"""Checks the books after a soak: the click log against the answers, the pool against its history and the proxies."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import asyncpg

from bench.load.visitors import Answer
from bench.world.stack import HOST, Stack

_TIMEOUT = 90.0
# A proxy sees the end of a use a moment before the pool does, and its clock is another one.
_TOLERANCE = 0.05
_OPEN = "SELECT count(*) FROM clicks.click_log WHERE status IN ('PENDING', 'TRACING')"
_IN_USE = """
SELECT count(*) FROM pool.proxies
WHERE pool.state_of(drained, is_healthy, ending, expires_at, available_at, clock_timestamp()) = 'in_use'
"""
_TOO_SOON = """
SELECT count(*) FROM (
    SELECT granted_at - lag(ended_at) OVER (PARTITION BY ip_address, ip_port ORDER BY fence) AS rest FROM pool.leases
) AS uses
WHERE rest < $1 * interval '1 second'
"""
_ENDINGS = "SELECT ending, count(*) FROM pool.leases GROUP BY ending"
_LEASES = "SELECT count(*) FROM pool.leases"
_ATTEMPTS = "SELECT coalesce(sum(jsonb_array_length(attempts)), 0) FROM clicks.clicks"
_LOGGED = "SELECT click_id, offer, status, answer, reason, location FROM clicks.click_log"


async def check(stack: Stack, answered: Mapping[str, Answer], *, cooldown: float, lost: int, killed: bool) -> list[str]:
    """Prints what the books say and returns what does not agree.

    `lost` is the number of visitors whose connection broke; `killed` says that processes were ended by force, which may
    leave clicks unfinished and leases to their TTL.
    """
    problems: list[str] = []
    async with stack.connection() as connection:
        unfinished = 0 if killed else await _settled(connection, _OPEN)
        if unfinished:
            problems.append(f"{unfinished} clicks are not finished")
        in_use = await _settled(connection, _IN_USE)
        if in_use:
            problems.append(f"{in_use} leases are not back")
        too_soon = await connection.fetchval(_TOO_SOON, cooldown)
        if too_soon:
            problems.append(f"{too_soon} IPs were leased before they had rested")
        endings = {row["ending"]: row["count"] for row in await connection.fetch(_ENDINGS)}
        leases, attempts = await connection.fetchval(_LEASES), await connection.fetchval(_ATTEMPTS)
        if not killed:
            if set(endings) - {"RELEASED"}:
                problems.append(f"not every lease was released: {endings}")
            if leases < attempts:
                problems.append(f"{attempts} attempts in the click log, and only {leases} leases")
        logged = {row["click_id"]: row for row in await connection.fetch(_LOGGED)}
    problems += _compare(logged, answered, lost)
    reasons = Counter(f"{row['status']} {row['answer']} {row['reason']}".strip() for row in logged.values())
    print(f"\nclick log: {len(logged)} clicks")
    for words, count in reasons.most_common():
        print(f"  {count:7} {words}")
    print(f"pool: {leases} leases ended ({endings}), {attempts} attempts in the log, {in_use} in use")
    seen = await _audit(stack.network_port, cooldown - _TOLERANCE)
    print(f"proxies: {seen['requests']} requests, {seen['changes']} changes of hands, {len(seen['short'])} too soon")
    problems += [f"an address was used by two clicks: {use}" for use in seen["short"]]
    return problems


def _compare(logged: Mapping[str, asyncpg.Record], answered: Mapping[str, Answer], lost: int) -> list[str]:
    problems = [f"click {click_id} was answered and is not in the log" for click_id in answered.keys() - logged.keys()]
    problems += [
        f"click {click_id} has another answer in the log"
        for click_id in answered.keys() & logged.keys()
        if logged[click_id]["location"] != answered[click_id].location
    ]
    unknown = logged.keys() - answered.keys()
    if len(unknown) > lost:
        problems.append(f"{len(unknown)} clicks in the log nobody was answered for, and {lost} broken connections")
    return problems


async def _settled(connection: "asyncpg.Connection[asyncpg.Record]", question: str) -> int:
    """Waits until a count is 0, and returns it when it is, or will not be."""
    due = time.monotonic() + _TIMEOUT
    count: int = await connection.fetchval(question)
    while count and time.monotonic() < due:
        await asyncio.sleep(0.5)
        count = await connection.fetchval(question)
    return count


async def _audit(port: int, least: float) -> dict[str, Any]:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"GET /audit/%f HTTP/1.1\r\n\r\n" % least)
    head = await reader.readuntil(b"\r\n\r\n")
    body = await reader.readexactly(int(head.rpartition(b": ")[2]))
    writer.close()
    said: dict[str, Any] = json.loads(body)
    return said
