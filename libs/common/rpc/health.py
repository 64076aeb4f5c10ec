"""grpc.health.v1: whether this process lives, and whether it wants calls."""

import asyncio
from collections.abc import Sequence

from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

LIVENESS = "liveness"
READINESS = "readiness"
SERVICE_NAME = health.SERVICE_NAME


class Health:
    """The health of one server.

    `liveness` serves while the process runs. `readiness`, the empty name (which clients of ours watch) and the names of
    the services serve while the server wants calls.
    """

    def __init__(self, services: Sequence[str]) -> None:
        """Prepares the health of the services of these full names."""
        self._names = ("", READINESS, *services)
        self._servicer = health.aio.HealthServicer()
        self._telling: asyncio.Future[None] | None = None

    def add_to(self, server: aio.Server) -> None:
        """Registers the health service."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def set_ready(self, ready: bool) -> None:
        """Sets whether the server wants calls; no effect once it drains."""
        await self._servicer.set(LIVENESS, _status(True))
        for name in self._names:
            await self._servicer.set(name, _status(ready))

    def set_well(self, well: bool) -> None:
        """Sets `readiness` alone, for probes and operators; clients stay, since a sick job harms no call."""
        self._telling = asyncio.ensure_future(self._servicer.set(READINESS, _status(well)))

    async def drain(self) -> None:
        """Turns everything but nothing else NOT_SERVING for good."""
        await self._servicer.enter_graceful_shutdown()


def _status(serving: bool) -> int:
    return health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
