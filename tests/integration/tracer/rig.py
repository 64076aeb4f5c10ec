"""A tracer as it is served: over gRPC on a free port, with the real engine, and a client that speaks to it."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from grpc import aio

from clicktrace.common.v1 import common_pb2
from clicktrace.tracer.v1 import tracer_pb2 as pb
from clicktrace.tracer.v1 import tracer_pb2_grpc as pb_grpc
from libs.common.process.values import Address
from libs.common.rpc import times
from libs.common.rpc.client import channel
from libs.common.rpc.server import Server
from libs.common.target_policy.policy import TargetPolicy
from services.tracer.fetch.driver import Driver
from services.tracer.fetch.options import TlsTrust
from services.tracer.fetch.session import Fetcher
from services.tracer.follow import walk
from services.tracer.rpc.servicer import Tracer

CERTIFICATES = Path(__file__).parent / "certificates"
LOOPBACK = ipaddress.ip_network("127.0.0.0/8")
TRUST = TlsTrust(str(CERTIFICATES / "ca.pem"))
OPEN_POLICY = TargetPolicy(
    allowed_networks=[ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")], allowed_hosts=["*"]
)
"""Refuses nothing: scripted proxies lead every target to a server of the test."""

PROXY_USER = "proxy-user"
PROXY_PASSWORD = "proxy-secret-4711"


def server_tls(name: str = "valid") -> ssl.SSLContext:
    """Returns the TLS context of a server with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{name}.pem")
    return context


def http_proxy(
    port: int, protocol: common_pb2.Protocol = common_pb2.HTTP, *, credentials: bool = False
) -> common_pb2.Proxy:
    """Returns a proxy on the loopback, as a request names it."""
    return common_pb2.Proxy(
        ip_address="127.0.0.1",
        ip_port=port,
        protocol=protocol,
        username=PROXY_USER if credentials else "",
        password=PROXY_PASSWORD if credentials else "",
        provider="scripted",
    )


@dataclass
class Walked:
    """Everything one walk reported, in order."""

    hops: list[common_pb2.Hop] = field(default_factory=list)
    results: list[pb.Result] = field(default_factory=list)

    @property
    def result(self) -> pb.Result:
        """The one result."""
        (result,) = self.results
        return result

    @property
    def stop(self) -> str:
        """Why it ended."""
        return pb.Result.StopReason.Name(self.result.stop_reason)

    @property
    def reason(self) -> str:
        """What went wrong, if something did."""
        return self.result.failure.reason

    @property
    def blame(self) -> str:
        """Whose failure it was, if something went wrong."""
        return pb.Failure.Blame.Name(self.result.failure.blame) if self.result.HasField("failure") else ""


class Client:
    """Asks a tracer for walks."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.channel = channel(target)
        self.stub = pb_grpc.TracerStub(self.channel)

    def call(
        self, request: pb.TraceRequest, timeout: float | None = 30
    ) -> "aio.UnaryStreamCall[pb.TraceRequest, pb.TraceEvent]":
        """Begins a walk."""
        return self.stub.Trace(request, timeout=timeout)

    async def walk(self, request: pb.TraceRequest, timeout: float | None = 30) -> Walked:
        """Takes a walk to its end, and checks that the result came once and last."""
        walked = Walked()
        async for event in self.call(request, timeout):
            assert not walked.results, "something came after the result"
            if event.HasField("hop"):
                assert event.hop.index == len(walked.hops)
                walked.hops.append(event.hop)
            else:
                walked.results.append(event.result)
        assert walked.result.hops == len(walked.hops)
        return walked

    async def trace(
        self,
        url: str,
        proxy: common_pb2.Proxy | None = None,
        *,
        policy: pb.Policy | None = None,
        max_hops: int = 0,
        hop_timeout: float = 5,
        total_timeout: float = 20,
        **fields: object,
    ) -> Walked:
        """Takes a walk that differs from the usual only in what is named."""
        limits = pb.Limits(
            max_hops=max_hops,
            hop_timeout=times.to_duration(hop_timeout),
            total_timeout=times.to_duration(total_timeout),
        )
        request = pb.TraceRequest(trace_id="test", url=url, proxy=proxy, limits=limits, policy=policy)
        request.MergeFrom(pb.TraceRequest(**fields))  # type: ignore[arg-type]
        return await self.walk(request)


@dataclass
class Rig:
    """A tracer that is up."""

    client: Client
    tracer: Tracer
    driver: Driver
    server: Server


@asynccontextmanager
async def serving(
    *,
    targets: TargetPolicy = OPEN_POLICY,
    trust: TlsTrust = TRUST,
    settings: walk.Settings | None = None,
    max_traces: int = 1000,
    allow_direct: bool = True,
    grace: float = 0.2,
    write_timeout: float = 30,
) -> AsyncIterator[Rig]:
    """Serves a tracer, wired as `main` does, for as long as the context lasts."""
    async with Driver() as driver:
        tracer = Tracer(
            Fetcher(driver, targets, trust),
            targets,
            settings or walk.Settings(),
            max_traces=max_traces,
            allow_direct=allow_direct,
            write_timeout=write_timeout,
        )
        server = Server(Address("127.0.0.1", 0), [tracer.service], grace=grace)
        async with server:
            client = Client(f"127.0.0.1:{server.port}")
            try:
                yield Rig(client, tracer, driver, server)
            finally:
                await client.channel.close()
    await asyncio.sleep(0)
