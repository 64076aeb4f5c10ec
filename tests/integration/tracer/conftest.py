"""A tracer for each test that wants one."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.tracer.rig import Client, Rig, serving


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """Serves a tracer that refuses no target."""
    async with serving() as up:
        yield up


@pytest.fixture
def client(rig: Rig) -> Client:
    """Asks that tracer."""
    return rig.client
