"""Enums are open where they are read, and closed where they are asked.

A newer peer may send a number that this build does not know in any response: that fails no call, no group and no click.
In a request such a number is refused, with the values that there are.
"""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from clicktrace.gateway.v1 import gateway_pb2
from clicktrace.pool.v1 import pool_pb2
from clicktrace.tracer.v1 import tracer_pb2
from libs.common.errors import ClicktraceError, Code
from libs.common.rpc import probe
from libs.common.rpc.client import channel
from libs.common.rpc.server import Server, Service
from libs.common.rpc.status import from_rpc_error, from_status
from local.tools import ask, load
from services.gateway.clients.pool_admin import run_maintenance
from services.gateway.clients.pool_watch import PoolSource
from services.gateway.console import parts
from services.gateway.console.model import SizeQuestion
from services.pool_manager import cli
from services.pool_manager.settings import ProvisionSettings
from tests.integration.gateway.world import ANY_PORT, broke, says, world
from tests.integration.pool_manager.rig import serve_in_process
from tests.integration.tracer.rig import serving
from tests.support.messages import UNKNOWN, enum_fields, enum_paths, filled, make_unknown, with_unknown

POOL, TRACER, GATEWAY = pool_pb2.DESCRIPTOR, tracer_pb2.DESCRIPTOR, gateway_pb2.DESCRIPTOR
LEASES, TRACES = POOL.services_by_name["PoolManager"], TRACER.services_by_name["Tracer"]


class Newer:
    """Answers every call of a service with a message in which every field is set, and every enum to 99."""

    def __init__(self, service: ServiceDescriptor) -> None:
        self._service = service

    def add_to(self, server: aio.Server) -> None:
        handlers = {method.name: _handler(method) for method in self._service.methods}
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(self._service.full_name, handlers)])


def _handler(method: MethodDescriptor) -> Any:
    read = GetMessageClass(method.input_type).FromString

    async def unary(_request: Message, _context: Any) -> Message:
        answer: Message = filled(method.output_type)
        return answer

    async def stream(_request: Message, _context: Any) -> AsyncIterator[Message]:
        yield filled(method.output_type)

    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(stream, read, _written)
    return grpc.unary_unary_rpc_method_handler(unary, read, _written)


def _written(message: Message) -> bytes:
    return message.SerializeToString()


def newer(service: ServiceDescriptor) -> Server:
    """Returns a server of a service of a newer release."""
    return Server(ANY_PORT, [Service(service.full_name, Newer(service).add_to)], grace=1.0)


async def test_a_click_among_newer_peers_is_answered_and_on_record(database: str) -> None:
    sent: set[str] = set()
    async with world(database, alter=lambda message: sent.update(make_unknown(message))) as w:
        await w.offer()
        landed = await w.click("offer=demo&gclid=1")
        assert (landed.status, landed.location) == (302, "http://shop.example/l?clickid=c1&gclid=1")
        record = await w.record(landed.click_id)
        assert (record.status, record.answer) == (gateway_pb2.COMPLETED, gateway_pb2.LANDING)
        assert (record.stop_reason, [hop.kind for hop in record.hops]) == ("UNKNOWN_99", [UNKNOWN] * 2)
        assert [attempt.outcome for attempt in record.attempts] == ["SUCCESS"]
        assert w.tracer.requests[0].proxy.protocol == UNKNOWN, "the tracer may know what the gateway does not"

        w.tracer.script = says(broke("MELTED"))
        failed = await w.click("offer=demo&gclid=2")
        assert failed.location == "http://track.example/c?aff=7&gclid=2"
        record = await w.record(failed.click_id)
        assert (record.status, record.reason) == (gateway_pb2.FAILED, "MELTED")
        assert [(attempt.outcome, attempt.failure_reason) for attempt in record.attempts] == [
            ("UNCLEAR_FAILURE", "MELTED")
        ]
        assert [release.outcome for release in await w.pool.all_released()] == [
            pool_pb2.SUCCESS,
            pool_pb2.UNCLEAR_FAILURE,
        ]
    readable = {
        field for service in (LEASES, TRACES) for method in service.methods for field in enum_fields(method.output_type)
    }
    assert sent == readable, "every enum that the gateway can be sent on the way of a click was sent"


async def test_the_console_reads_a_newer_pool() -> None:
    async with newer(POOL.services_by_name["PoolAdmin"]) as server, channel(f"127.0.0.1:{server.port}") as opened:
        source = PoolSource(opened, operator_token="")
        changes = [change async for change in source.watch()]
        assert [[cell.state for cell in change.cells] for change in changes] == [["UNKNOWN_99"]]
        assert parts.cell(changes[0].cells[0])[4] == 5, "the page has words of its own for that"
        assert await source.periods(60.0) == []
        assert (await source.estimate(SizeQuestion())).present_ips == 1
        assert (await run_maintenance(opened, ""))["expired_leases"] == 1


async def test_the_provisioning_command_reads_a_newer_pool(tmp_path: Path) -> None:
    file = tmp_path / "proxies.csv"
    file.write_text("ip_address,ip_port,country\n10.0.0.1,8080,us\n")
    async with newer(POOL.services_by_name["PoolAdmin"]) as server:
        config = ProvisionSettings.model_validate({"target": f"127.0.0.1:{server.port}"})
        assert await cli.provision(file, config, dry_run=False) == 0


def test_local_tools_read_a_newer_gateway_and_pool() -> None:
    click = filled(GATEWAY.message_types_by_name["GetClickResponse"]).click
    explained = "\n".join(ask._explained(click))
    assert "UNKNOWN_99" in explained
    row = load.Row(load.Shot(1, 302, 0.1), click)
    assert row.cells()[1] == "UNKNOWN_99 1"
    assert any("UNKNOWN_99" in line for line in load.summary([row], 1.0))
    status = filled(POOL.message_types_by_name["GetPoolStatusResponse"])
    assert ask._row(status.total, 0)[0] == "1"


async def test_the_probe_reads_a_newer_server(capsys: pytest.CaptureFixture[str]) -> None:
    class Health(health_pb2_grpc.HealthServicer):
        def Check(self, _request: Message, _context: Any) -> Any:
            return health_pb2.HealthCheckResponse(status=UNKNOWN)

    server = grpc.server(ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(Health(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        assert probe.main([f"127.0.0.1:{port}", "readiness"]) == 1
    finally:
        server.stop(None).wait()
    assert capsys.readouterr().err == f"readiness of 127.0.0.1:{port} is UNKNOWN_99\n"


def asked(service: ServiceDescriptor) -> list[Any]:
    """Returns (method, the way to an enum field of its request) for every such field of a service."""
    return [
        pytest.param(method, path, id=f"{method.name}:{'.'.join(step.name for step in path)}")
        for method in service.methods
        for path in enum_paths(method.input_type)
    ]


async def refused(opened: aio.Channel, method: MethodDescriptor, path: tuple[FieldDescriptor, ...]) -> None:
    """Asks with a number that nobody knows, and checks that the answer names the field and the values."""
    request: Any = GetMessageClass(method.input_type)()
    field = with_unknown(request, path)
    if method.name == "UpdateOffer":
        request.offer.name = "demo"
    error = await _error(opened, method, request)
    assert error.code is Code.INVALID_ARGUMENT
    # Of a batch each item has an error of its own.
    said = [violation.description for violation in error.violations if field.endswith(violation.field)]
    enum_type = path[-1].enum_type
    assert enum_type
    assert said, f"{field} is not among {error.violations}"
    assert all(value.name in said[0] for value in enum_type.values if value.number), said


async def _error(opened: aio.Channel, method: MethodDescriptor, request: Message) -> ClicktraceError:
    name = f"/{method.containing_service.full_name}/{method.name}"
    answer = GetMessageClass(method.output_type).FromString
    try:
        if method.server_streaming:
            stream = opened.unary_stream(name, _written, answer)(request, timeout=10)
            response: Any = await stream.read()
        else:
            response = await opened.unary_unary(name, _written, answer)(request, timeout=10)
    except aio.AioRpcError as error:
        return from_rpc_error(error)
    return from_status(response.results[0].error)


@pytest.mark.parametrize(
    ("method", "path"), [pair for service in POOL.services_by_name.values() for pair in asked(service)]
)
async def test_a_pool_manager_refuses_what_it_does_not_know(
    database: str, method: MethodDescriptor, path: tuple[FieldDescriptor, ...]
) -> None:
    async with serve_in_process(database) as manager:
        await refused(manager.channel, method, path)


@pytest.mark.parametrize(
    ("method", "path"), [pair for service in TRACER.services_by_name.values() for pair in asked(service)]
)
async def test_a_tracer_refuses_what_it_does_not_know(
    method: MethodDescriptor, path: tuple[FieldDescriptor, ...]
) -> None:
    async with serving() as rig:
        await refused(rig.client.channel, method, path)


async def test_a_gateway_refuses_what_it_does_not_know(database: str) -> None:
    async with world(database) as w, channel(f"127.0.0.1:{w.ports.grpc}") as opened:
        await w.offer()
        for service in GATEWAY.services_by_name.values():
            for method in service.methods:
                for path in enum_paths(method.input_type):
                    await refused(opened, method, path)
