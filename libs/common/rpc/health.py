"""grpc.health.v1: whether this process lives, and whether it wants calls."""

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

    def add_to(self, server: aio.Server) -> None:
        """Registers the health service."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def set_ready(self, ready: bool) -> None:
        """Says whether the server wants calls; no effect once it drains."""
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        await self._servicer.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
        for name in self._names:
            await self._servicer.set(name, status)

    async def drain(self) -> None:
        """Turns everything but nothing else NOT_SERVING for good."""
        await self._servicer.enter_graceful_shutdown()
