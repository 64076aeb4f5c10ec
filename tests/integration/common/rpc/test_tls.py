"""Mutual TLS with real certificates: who is let in, who is not, and what happens when files are renewed."""

import asyncio
import datetime as dt
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from clicktrace.pool.v1 import pool_pb2, pool_pb2_grpc
from libs.common.errors import Code
from libs.common.process.values import Address
from libs.common.rpc import callers, status, tls
from libs.common.rpc.auth import require_operator
from libs.common.rpc.client import channel
from libs.common.rpc.renewal import RenewedChannel
from libs.common.rpc.server import Security, Server, Service
from local.tools.authority import Authority

ANY_PORT = Address("127.0.0.1", 0)
MANAGER, ADMIN = "clicktrace.pool.v1.PoolManager", "clicktrace.pool.v1.PoolAdmin"
TOKEN = "open sesame"


class Recording(pool_pb2_grpc.PoolManagerServicer, pool_pb2_grpc.PoolAdminServicer):
    """Notes every call that reaches it; Lease waits for `let_go`."""

    def __init__(self) -> None:
        self.served: list[str] = []
        self.let_go = asyncio.Event()

    async def Lease(self, _request: pool_pb2.LeaseRequest, _context: Any) -> pool_pb2.LeaseResponse:
        self.served.append("Lease")
        await self.let_go.wait()
        return pool_pb2.LeaseResponse()

    async def Release(self, _request: pool_pb2.ReleaseRequest, _context: Any) -> pool_pb2.ReleaseResponse:
        self.served.append(f"Release by {callers.current()}")
        return pool_pb2.ReleaseResponse()

    async def GetPoolStatus(self, _request: Any, _context: Any) -> pool_pb2.GetPoolStatusResponse:
        self.served.append("GetPoolStatus")
        return pool_pb2.GetPoolStatusResponse()

    async def RunMaintenance(self, _request: Any, context: Any) -> pool_pb2.RunMaintenanceResponse:
        require_operator(context, TOKEN)
        self.served.append("RunMaintenance")
        return pool_pb2.RunMaintenanceResponse()


class Place:
    """An authority, its certificates, and a server that wants them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority()
        self.servicer = Recording()  # type: ignore[abstract]  # what it does not answer is not called
        self.port = self.admin_port = self.health_port = 0

    def identity(self, *names: str, authority: Authority | None = None, **options: Any) -> Path:
        """Issues a certificate; the first name is that of its directory."""
        return (authority or self.authority).issue(self.directory / names[0].rpartition("/")[2], *names, **options)

    @asynccontextmanager
    async def serving(self, **options: Any) -> AsyncIterator[Server]:
        security = Security(tls.Files(self.directory / "pool-manager"), operators=["operator"], token=TOKEN)
        services = [
            Service(
                MANAGER,
                lambda to: pool_pb2_grpc.add_PoolManagerServicer_to_server(self.servicer, to),
                callers=["gateway", "spiffe://clicktrace/gateway"],
            ),
            Service(
                ADMIN,
                lambda to: pool_pb2_grpc.add_PoolAdminServicer_to_server(self.servicer, to),
                callers=["gateway"],
                for_operators=True,
            ),
        ]
        async with Server(ANY_PORT, services, security=security, grace=10, **options) as server:
            self.port, self.admin_port, self.health_port = server.port, server.admin_port, server.health_port
            yield server

    def channel(self, name: str, *, port: int = 0, identity: str = "pool-manager") -> aio.Channel:
        """Opens a channel as the owner of a certificate."""
        target = f"dns:///127.0.0.1:{port or self.port}"
        return channel(target, files=tls.Files(self.directory / name), identity=identity)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.identity("pool-manager")
    return made


async def release(opened: aio.Channel) -> None:
    stub: Any = pool_pb2_grpc.PoolManagerStub(opened)
    await stub.Release(pool_pb2.ReleaseRequest(), timeout=10)


async def maintain(opened: aio.Channel, token: str = "") -> None:
    stub: Any = pool_pb2_grpc.PoolAdminStub(opened)
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    await stub.RunMaintenance(pool_pb2.RunMaintenanceRequest(), timeout=10, metadata=metadata)


def reason_of(error: aio.AioRpcError) -> tuple[Code, str]:
    read = status.from_rpc_error(error)
    return read.code, read.reason


@pytest.mark.parametrize(
    "names", [("gateway",), ("GateWay",), ("other", "gateway"), ("spiffe://clicktrace/gateway",)], ids=" ".join
)
async def test_a_gateway_may_lease_by_any_of_its_names(place: Place, names: Sequence[str]) -> None:
    directory = place.identity(*names)
    async with place.serving(), place.channel(directory.name) as opened:
        await release(opened)
        (served,) = place.servicer.served
        assert names[-1].lower() in served


@pytest.mark.parametrize("name", ["tracer", "operator", "spiffe://clicktrace/GATEWAY", "gateway.evil"])
async def test_another_role_is_refused_before_any_work(place: Place, name: str) -> None:
    directory = place.identity(name)
    async with place.serving(), place.channel(directory.name) as opened:
        with pytest.raises(aio.AioRpcError) as caught:
            await release(opened)
        assert reason_of(caught.value) == (Code.PERMISSION_DENIED, "CALLER_NOT_ALLOWED")
        assert place.servicer.served == []


async def refused_in_the_handshake(place: Place, opened: aio.Channel) -> None:
    async with opened:
        with pytest.raises(aio.AioRpcError) as caught:
            await release(opened)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert place.servicer.served == []


async def test_no_certificate_no_entry(place: Place) -> None:
    async with place.serving():
        credentials = grpc.ssl_channel_credentials(place.authority.pem)
        options = (("grpc.ssl_target_name_override", "pool-manager"),)
        await refused_in_the_handshake(place, aio.secure_channel(f"127.0.0.1:{place.port}", credentials, options))


async def test_no_tls_no_entry(place: Place) -> None:
    async with place.serving():
        await refused_in_the_handshake(place, channel(f"dns:///127.0.0.1:{place.port}"))


async def test_a_certificate_of_another_authority_is_refused(place: Place) -> None:
    place.identity("gateway", authority=Authority())
    (place.directory / "gateway" / "ca.crt").write_bytes(place.authority.pem)
    async with place.serving():
        await refused_in_the_handshake(place, place.channel("gateway"))


async def test_an_expired_certificate_is_refused(place: Place) -> None:
    place.identity("gateway", life=-dt.timedelta(seconds=1))
    async with place.serving():
        await refused_in_the_handshake(place, place.channel("gateway"))


async def test_a_client_refuses_a_server_of_another_authority_or_another_name(place: Place) -> None:
    place.identity("gateway")
    async with place.serving():
        await refused_in_the_handshake(place, place.channel("gateway", identity="tracer"))
        (place.directory / "gateway" / "ca.crt").write_bytes(Authority().pem)
        await refused_in_the_handshake(place, place.channel("gateway"))


@pytest.mark.parametrize(
    ("name", "token", "refusal"),
    [
        ("operator", "", None),
        ("operator", "wrong", None),
        ("tracer", TOKEN, None),
        ("gateway", TOKEN, None),
        ("tracer", "", (Code.PERMISSION_DENIED, "CALLER_NOT_ALLOWED")),
        ("tracer", "wrong", (Code.PERMISSION_DENIED, "CALLER_NOT_ALLOWED")),
        ("gateway", "", (Code.UNAUTHENTICATED, "OPERATOR_TOKEN_REQUIRED")),
        ("gateway", "wrong", (Code.PERMISSION_DENIED, "WRONG_OPERATOR_TOKEN")),
    ],
)
async def test_who_may_administrate(place: Place, name: str, token: str, refusal: tuple[Code, str] | None) -> None:
    place.identity(name)
    async with place.serving(), place.channel(name) as opened:
        if refusal is None:
            await maintain(opened, token)
            assert place.servicer.served == ["RunMaintenance"]
        else:
            with pytest.raises(aio.AioRpcError) as caught:
                await maintain(opened, token)
            assert reason_of(caught.value) == refusal
            assert place.servicer.served == []


async def test_a_gateway_may_read_what_operators_see(place: Place) -> None:
    place.identity("gateway")
    async with place.serving(), place.channel("gateway") as opened:
        stub: Any = pool_pb2_grpc.PoolAdminStub(opened)
        await stub.GetPoolStatus(pool_pb2.GetPoolStatusRequest())
        assert place.servicer.served == ["GetPoolStatus"]


async def listed(opened: aio.Channel) -> set[str]:
    async def ask() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    make_stub: Any = reflection_pb2_grpc.ServerReflectionStub
    call = make_stub(opened).ServerReflectionInfo(ask())
    return {service.name for answer in [await call.read()] for service in answer.list_services_response.service}


async def look(opened: aio.Channel) -> None:
    """Calls reflection and asks nothing: a server without it says so at once, and a question would cross the answer."""
    make_stub: Any = reflection_pb2_grpc.ServerReflectionStub
    async with asyncio.timeout(10):
        await make_stub(opened).ServerReflectionInfo().read()


async def test_what_is_for_operators_can_have_a_port_of_its_own(place: Place) -> None:
    place.identity("gateway")
    place.identity("operator")
    async with (
        place.serving(admin_address=ANY_PORT),
        place.channel("operator", port=place.admin_port) as admin,
        place.channel("gateway") as main,
    ):
        await maintain(admin)
        await release(main)
        assert ADMIN in await listed(admin)
        for attempt in (maintain(main, TOKEN), release(admin), look(main)):
            with pytest.raises(aio.AioRpcError) as caught:
                await attempt
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def health_of(opened: aio.Channel, name: str) -> int:
    stub: Any = health_pb2_grpc.HealthStub(opened)
    response: health_pb2.HealthCheckResponse = await stub.Check(health_pb2.HealthCheckRequest(service=name))
    return response.status


async def test_probes_reach_health_in_plaintext_and_nothing_else(place: Place) -> None:
    async with (
        place.serving(health_address=ANY_PORT) as server,
        aio.insecure_channel(f"127.0.0.1:{server.health_port}") as probe,
    ):
        assert await health_of(probe, "readiness") == health_pb2.HealthCheckResponse.SERVING
        for attempt in (release(probe), maintain(probe, TOKEN), look(probe)):
            with pytest.raises(aio.AioRpcError) as caught:
                await attempt
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        await server.health.drain()
        assert await health_of(probe, "readiness") == health_pb2.HealthCheckResponse.NOT_SERVING


def shown_by(port: int, ours: Path) -> bytes:
    """Connects and returns the certificate that the server shows."""
    context = ssl.create_default_context(cafile=str(ours / "ca.crt"))
    context.load_cert_chain(ours / "tls.crt", ours / "tls.key")
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        context.wrap_socket(plain, server_hostname="pool-manager") as wrapped,
    ):
        shown = wrapped.getpeercert(binary_form=True)
        assert shown
        return shown


async def test_a_server_shows_a_renewed_certificate_and_keeps_its_calls(place: Place) -> None:
    ours = place.identity("gateway")
    async with place.serving(), place.channel("gateway") as opened:
        stub: Any = pool_pb2_grpc.PoolManagerStub(opened)
        running = asyncio.ensure_future(stub.Lease(pool_pb2.LeaseRequest(), timeout=60))
        async with asyncio.timeout(10):
            while not place.servicer.served:
                await asyncio.sleep(0)
        before = await asyncio.to_thread(shown_by, place.port, ours)
        assert await asyncio.to_thread(shown_by, place.port, ours) == before
        place.identity("pool-manager")
        assert await asyncio.to_thread(shown_by, place.port, ours) != before
        place.servicer.let_go.set()
        await running


async def test_both_sides_move_to_another_authority_without_a_restart(place: Place) -> None:
    """As an operator does it: both are trusted, then certificates of the new one are used, then the old one goes."""
    place.identity("gateway")
    old, new = place.authority, Authority("the next one")
    both = old.pem + new.pem
    directories = [place.directory / name for name in ("gateway", "pool-manager")]
    async with place.serving(), place.channel("gateway") as opened:
        await release(opened)
        for directory in directories:
            (directory / "ca.crt").write_bytes(both)
        for directory in directories:
            new.issue(directory, directory.name, trusting=both)
        for directory in directories:
            (directory / "ca.crt").write_bytes(new.pem)
        old.issue(place.directory / "late", "gateway")
        async with place.channel("late") as late:
            with pytest.raises(aio.AioRpcError):
                await release(late)
        async with place.channel("gateway") as fresh:
            await release(fresh)
        # The channel of before goes on: at first on its connection, then on a new one with the new certificate.
        assert isinstance(opened, RenewedChannel)
        first = opened.current()
        async with asyncio.timeout(30):
            while opened.current() is first:
                await release(opened)
        await release(opened)


async def test_files_that_do_not_fit_leave_what_was_good_in_use(place: Place, tmp_path: Path) -> None:
    directory = place.identity("gateway")
    files = tls.Files(directory)
    good = files.material
    (directory / "tls.key").write_bytes((place.directory / "pool-manager" / "tls.key").read_bytes())
    assert files.material is good
    (directory / "ca.crt").unlink()
    assert files.material is good
    shutil.copytree(place.identity("replacement"), directory, dirs_exist_ok=True)
    assert files.material is not good
    assert files.material is files.material
    with pytest.raises(tls.TlsError, match=r"tls\.crt"):
        tls.Files(tmp_path / "nowhere")
