"""The one way to serve: health, reflection, tracing, typed errors, and a drain that loses nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, aclosing, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeAlias

import grpc
from grpc import aio
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from libs.common.errors import ClicktraceError, Code
from libs.common.process import logs
from libs.common.process.values import Address
from libs.common.rpc import auth, callers, health, status, tls
from libs.common.rpc.tracing import ServerSpans

log = logs.get(__name__)

_OPTIONS = (
    # A taken port is to be an error, not a silent share.
    ("grpc.so_reuseport", 0),
    # Clients find new replicas when their connections are renewed; streams that run get to finish.
    ("grpc.max_connection_age_ms", 5_000),
    ("grpc.max_connection_age_grace_ms", 120_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 0),
    # A page of 1,000 clicks with all their hops is larger than the default of 4 MiB allows for.
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
)

# For calls that were on their way when the last known one ended.
_LAST_CALLS_SECONDS = 0.25

Context: TypeAlias = "aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class Service:
    """A servicer, and how it is added to a server."""

    full_name: str
    """The name with its package: `clicktrace.pool.v1.PoolManager`."""
    add: Callable[[aio.Server], None]
    """Registers the servicer."""
    token: str = ""
    """The operator token that every call must carry, those that only read too; empty: the servicer decides."""
    callers: Collection[str] = ()
    """The identities that may call it, where callers show certificates."""
    for_operators: bool = False
    """Whether operators may call it, and whether it belongs on the port for them."""


@dataclass(frozen=True, slots=True)
class Security:
    """Certificates of a server, and how it recognises operators."""

    files: tls.Files
    """Our certificate, and the authority that must have signed those of callers."""
    operators: Collection[str] = ()
    """The identities of operators."""
    token: str = field(default="", repr=False)
    """Operator token: any caller with a certificate that sends it is an operator; disabled if empty."""


class Server:
    """A gRPC server that is up while it is entered as an async context manager.

    Leaving it drains: health turns NOT_SERVING, `drain_delay` seconds pass in which clients turn away, then calls that
    run have `grace` seconds to finish before they are cancelled, and no new one is taken.

    With `security` it is reached by TLS only, and by callers with a certificate only; each service then has its
    callers. Health, and nothing else, is served in plaintext on `health_address` too, because the probes of a kubelet
    speak no TLS. What is for operators, and reflection, moves to `admin_address` if there is one.
    """

    def __init__(
        self,
        address: Address,
        services: Sequence[Service],
        *,
        reflection: bool = True,
        grace: float = 10.0,
        drain_delay: float = 0.0,
        security: Security | None = None,
        health_address: Address | None = None,
        admin_address: Address | None = None,
    ) -> None:
        """Prepares a server; times are in seconds."""
        self._address = address
        self._security = security
        self._health_address = health_address
        self._admin_address = admin_address
        self._services = services
        self._reflection = reflection
        self._grace = grace
        self._drain_delay = drain_delay
        self._calls = _Calls()
        self._servers: list[aio.Server] = []
        self.health = health.Health([service.full_name for service in services])
        self.port = 0
        """The port that is bound; 0 before the start."""
        self.health_port = 0
        """The port for probes in plaintext; 0 if there is none."""
        self.admin_port = 0
        """The port for operators; 0 if there is none."""

    async def __aenter__(self) -> Self:
        """Starts serving; OSError when an address cannot be bound."""
        apart = self._admin_address is not None
        operators = [service for service in self._services if service.for_operators and apart]
        others = [service for service in self._services if service not in operators]
        server, self.port = self._bound(self._address, others, reflected=self._reflection and not apart)
        bound = [server]
        if self._admin_address is not None:
            server, self.admin_port = self._bound(self._admin_address, operators, reflected=self._reflection)
            bound.append(server)
        if self._health_address is not None:
            server = aio.server(options=_OPTIONS)
            self.health.add_to(server)
            self.health_port = _bind(server, self._health_address)
            bound.append(server)
        for server in bound:
            await server.start()
        self._servers = bound
        await self.health.set_ready(True)
        self._say_where()
        return self

    def _bound(self, address: Address, services: Sequence[Service], *, reflected: bool) -> tuple[aio.Server, int]:
        """Creates a server of some of the services; returns it with the port that is bound."""
        admission = _Admission(services, self._security)
        server = aio.server(interceptors=[_Wrapping(self._calls, admission)], options=_OPTIONS)
        for service in services:
            service.add(server)
        self.health.add_to(server)
        if reflected:
            # Wherever it is asked, it describes all that this process serves.
            names = [service.full_name for service in self._services]
            reflection.enable_server_reflection([health.SERVICE_NAME, *names, reflection.SERVICE_NAME], server)
        return server, _bind(server, address, self._security.files if self._security else None)

    def _say_where(self) -> None:
        secured = self._security is not None
        log.info(
            "server.listening",
            address=str(Address(self._address.host, self.port)),
            transport="mutual TLS" if secured else "plaintext",
        )
        if self._admin_address:
            log.info("server.admin_listening", address=str(Address(self._admin_address.host, self.admin_port)))
        if self._health_address:
            log.info("server.health_listening", address=str(Address(self._health_address.host, self.health_port)))
        if not secured and not self._address.is_loopback:
            log.warning("server.plaintext", hint="whoever reaches this port can read and call everything on it")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._servers:
            return
        await self.health.drain()
        if self._drain_delay:
            await asyncio.sleep(self._drain_delay)
        # Clients hold health watches open until they lose the connection, and `stop` would wait for those to the end of
        # the grace; only our own calls count. There must be one `stop` only: two at once crash the runtime.
        try:
            async with asyncio.timeout(self._grace):
                await self._calls.none.wait()
        except TimeoutError:
            log.warning("server.cancelling", calls=self._calls.running, grace=self._grace)
        for server in self._servers:
            await server.stop(min(self._grace, _LAST_CALLS_SECONDS))


def _bind(server: aio.Server, address: Address, files: tls.Files | None = None) -> int:
    try:
        if files is None:
            return server.add_insecure_port(str(address))
        return server.add_secure_port(str(address), tls.server_credentials(files))
    except RuntimeError:
        raise OSError(f"cannot listen on {address}: is something else using the port?") from None


class _Calls:
    """Counts the calls that run, each inside a `with` block."""

    def __init__(self) -> None:
        self.running = 0
        self.none = asyncio.Event()
        self.none.set()

    def __enter__(self) -> None:
        self.running += 1
        self.none.clear()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.running -= 1
        if not self.running:
            self.none.set()


class _Admission:
    """Admits a call if its caller may make it."""

    def __init__(self, services: Sequence[Service], security: Security | None) -> None:
        self._services = {service.full_name: service for service in services}
        self._security = security

    def admits(self, method: str) -> Callable[[Context], AbstractContextManager[None]]:
        """Returns what each call of a method passes, and stays in until its end."""
        service = self._services.get(method.rpartition("/")[0])
        if service is None or (self._security is None and not service.token):
            return _everybody
        return partial(self._admitted, service)

    @contextmanager
    def _admitted(self, service: Service, context: Context) -> Iterator[None]:
        with nullcontext() if self._security is None else self._known(self._security, service, context):
            if service.token:
                auth.require_operator(context, service.token)
            yield

    @staticmethod
    def _known(security: Security, service: Service, context: Context) -> AbstractContextManager[None]:
        caller = callers.Caller.of(context, security.operators)
        if caller.is_any_of(service.callers) or (
            service.for_operators and (caller.is_operator or auth.shows_token(context, security.token))
        ):
            return callers.calling(caller)
        raise callers.refused(caller, service.full_name)


_NOTHING = nullcontext()


def _everybody(_context: Context) -> AbstractContextManager[None]:
    return _NOTHING


async def _abort(method: str, context: Context, error: Exception) -> None:
    """Turns what a handler raised into a status with details; what nobody foresaw is logged and becomes INTERNAL."""
    if isinstance(error, aio.AbortError):
        raise error
    if not isinstance(error, ClicktraceError):
        log.error("rpc.failed", method=method, exc_info=error)
        error = ClicktraceError(Code.INTERNAL, "INTERNAL_ERROR", "the server failed; its log has the details")
    await context.abort_with_status(rpc_status.to_status(status.to_status(error)))


class _Wrapping(aio.ServerInterceptor):
    """Puts around every call of our own services: a span, the count, typed errors, and who may call."""

    def __init__(self, calls: _Calls, admission: _Admission) -> None:
        self._calls = calls
        self._admission = admission
        # Made once: a handler is the same at each call, and so is what is around it.
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any] | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        method = handler_call_details.method.removeprefix("/")
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler: Any = await continuation(handler_call_details)
            if handler is None or method.startswith("grpc."):
                return handler  # type: ignore[no-any-return]
            wrapped = self._wrapped[method] = self._wrap(method, handler)
        return wrapped

    def _wrap(self, method: str, handler: Any) -> "grpc.RpcMethodHandler[Any, Any]":
        inner = handler.unary_stream or handler.unary_unary
        spans = ServerSpans(method)
        calls = self._calls
        admitted = self._admission.admits(method)

        async def unary(request: Any, context: Context) -> Any:
            with spans.begin(context), calls:
                try:
                    with admitted(context):
                        return await inner(request, context)
                except Exception as error:  # noqa: BLE001 - whatever it is becomes a status
                    await _abort(method, context, error)

        async def stream(request: Any, context: Context) -> None:
            # Written from here, not yielded: the runtime does not close a generator whose caller went away while a
            # message was being sent, and its clean-up would wait for the garbage collector.
            with spans.begin(context), calls:
                try:
                    with admitted(context):
                        messages = inner(request, context)
                        if not hasattr(messages, "aclose"):
                            await messages
                            return
                        async with aclosing(messages):
                            async for message in messages:
                                await context.write(message)
                except Exception as error:  # noqa: BLE001 - whatever it is becomes a status
                    await _abort(method, context, error)

        make = grpc.unary_stream_rpc_method_handler if handler.unary_stream else grpc.unary_unary_rpc_method_handler
        return make(
            stream if handler.unary_stream else unary,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
