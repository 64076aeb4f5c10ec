"""Waits until a process answers, by the protocol it is used through."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_PAUSE = 0.03


class Probe(Protocol):
    """Something that can be waited for."""

    @property
    def address(self) -> str:
        """The host and port that are asked."""

    async def wait(self) -> None:
        """Returns when the process answers; waits for ever if it never does."""


@dataclass(frozen=True)
class GrpcHealth:
    """A server whose grpc.health.v1 says SERVING."""

    address: str
    certificate: Path | None = None
    """The directory of the certificate to ask with, where one is needed."""

    async def wait(self) -> None:
        """Asks until the answer is SERVING."""
        # Late: the first processes start while this is being loaded.
        from grpc import aio
        from grpc_health.v1 import health_pb2

        from libs.common.rpc import tls
        from libs.common.rpc.client import channel

        files = tls.Files(self.certificate) if self.certificate else None
        async with channel(self.address, files=files) as open_channel:
            check = open_channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            while True:
                try:
                    answer = await check(health_pb2.HealthCheckRequest(), timeout=1, wait_for_ready=True)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                except aio.AioRpcError:
                    pass  # not yet
                await asyncio.sleep(_PAUSE)


@dataclass(frozen=True)
class HttpOk:
    """A server that answers a GET of `path` with 200."""

    address: str
    path: str

    async def wait(self) -> None:
        """Asks until the answer is 200."""
        while True:
            try:
                async with asyncio.timeout(1):
                    if await self.status() == 200:
                        return
            except OSError:
                pass  # not yet; a TimeoutError is one too
            await asyncio.sleep(_PAUSE)

    async def status(self) -> int:
        """Asks once and returns the status; OSError when nobody answers."""
        host, _, port = self.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(f"GET {self.path} HTTP/1.1\r\nHost: {self.address}\r\nConnection: close\r\n\r\n".encode())
            words = (await reader.readline()).split()
            return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
        finally:
            writer.close()
