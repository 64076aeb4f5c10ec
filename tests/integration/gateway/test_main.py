"""The gateway starts over a database that has what it needs, and is ready when visitors get in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from libs.common.postgres.migrate import MigrationError
from libs.common.process.values import Address
from services.gateway import main
from services.gateway.http.server import listening
from tests.integration.gateway.world import raw, world


async def test_it_starts_over_its_schema_and_leaves_a_database_without_it_alone(
    database: str, empty_database: str
) -> None:
    async with world(database) as w:
        assert (await w.get("/track-hit?offer=nobody")).status == 404
    with pytest.raises(MigrationError, match=r"lacks 0001_clicks\.sql, .*: run `python -m services\.gateway migrate`"):
        async with world(empty_database):
            pytest.fail("there is no schema")
    connection = await asyncpg.connect(empty_database)
    try:
        assert await connection.fetchval("SELECT to_regnamespace('clicks')") is None
    finally:
        await connection.close()


async def readiness(port: int) -> int:
    answer = await raw(port, b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    return int(answer.split()[1])


async def test_readiness_waits_for_the_public_port(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ports: list[int] = []
    seen: list[int] = []

    @asynccontextmanager
    async def watched(runner: Any, address: Address) -> AsyncIterator[int]:
        if ports:
            seen.append(await readiness(ports[0]))
        async with listening(runner, address) as port:
            ports.append(port)
            yield port

    monkeypatch.setattr(main, "listening", watched)
    async with world(database) as w:
        assert ports == [w.ports.internal, w.ports.public]
        assert seen == [503]
        assert await readiness(w.ports.internal) == 200
        w.stop.set()
        await asyncio.sleep(0)
        assert await readiness(w.ports.internal) == 503
