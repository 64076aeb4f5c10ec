"""One OpenTelemetry span on each side of every call.

The published instrumentation records unhandled errors and server deadlines as OK and never exports the spans of
cancelled calls, so these are our own. Names follow the stable RPC conventions of OpenTelemetry.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc import aio
from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

_tracer = trace.get_tracer(__name__)

# The codes that are the server's own fault; the others are answers, and no error on the server's side.
_SERVER_FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


def _attributes(method: str) -> dict[str, str]:
    return {"rpc.system.name": "grpc", "rpc.method": method}


def _finish(span: Span, code: grpc.StatusCode, *, failed: bool) -> None:
    span.set_attribute("rpc.response.status_code", code.name)
    if failed:
        span.set_attribute("error.type", code.name)
        span.set_status(Status(StatusCode.ERROR))


@asynccontextmanager
async def server_span(method: str, context: aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
    """Records one call on the server's side, as a child of the caller's span; `method` is `pkg.Service/Method`."""
    carrier = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    with _tracer.start_as_current_span(
        method,
        context=propagate.extract(carrier),
        kind=SpanKind.SERVER,
        attributes=_attributes(method),
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        code = grpc.StatusCode.OK
        try:
            yield
        except asyncio.CancelledError:
            # Both a deadline and a caller that left cancel the handler; the clock tells them apart.
            remaining = context.time_remaining()
            late = remaining is not None and remaining <= 0
            code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
            raise
        except aio.AbortError:
            code = _set_code(context) or grpc.StatusCode.UNKNOWN
            raise
        except BaseException:
            code = grpc.StatusCode.UNKNOWN
            raise
        else:
            code = _set_code(context) or grpc.StatusCode.OK
        finally:
            _finish(span, code, failed=code in _SERVER_FAULTS)


def _set_code(context: aio.ServicerContext[Any, Any]) -> grpc.StatusCode | None:
    """Returns the code that a handler has set; the runtime keeps it as a number, and 0 for none."""
    number: object = context.code()
    if isinstance(number, grpc.StatusCode):
        return number
    return next((code for code in grpc.StatusCode if code.value[0] == number), None)


class _ClientTracing:
    def __init__(self, target: str) -> None:
        """Records calls to `target`, as the channel was given it: `dns:///host:port`."""
        server, _, port = target.rpartition("/")[2].rpartition(":")
        self._peer: dict[str, str | int] = {"server.address": server or target}
        if port.isdecimal():
            self._peer["server.port"] = int(port)

    def _begin(self, details: aio.ClientCallDetails) -> tuple[Span, aio.ClientCallDetails]:
        name: Any = details.method  # The stubs say str; the runtime passes bytes.
        method = (name.decode() if isinstance(name, bytes) else name).removeprefix("/")
        span = _tracer.start_span(method, kind=SpanKind.CLIENT, attributes={**_attributes(method), **self._peer})
        carrier: dict[str, str] = {}
        propagate.inject(carrier, trace.set_span_in_context(span))
        metadata = aio.Metadata(*(details.metadata or ()))
        for key, value in carrier.items():
            metadata.add(key, value)
        return span, aio.ClientCallDetails(
            details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
        )


class UnaryTracing(_ClientTracing, aio.UnaryUnaryClientInterceptor):
    """Records unary calls on the client's side and passes the trace on."""

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: aio.ClientCallDetails, request: Any
    ) -> Any:
        """Runs the call to its end inside a span."""
        span, details = self._begin(client_call_details)
        code = grpc.StatusCode.CANCELLED
        try:
            call = await continuation(details, request)
            try:
                code = await call.code()
            except asyncio.CancelledError:
                # Cancelling the wait for the code does not cancel the call.
                call.cancel()
                raise
            return call
        finally:
            _finish(span, code, failed=code is not grpc.StatusCode.OK)
            span.end()


class StreamTracing(_ClientTracing, aio.UnaryStreamClientInterceptor):
    """Records response-streaming calls on the client's side and passes the trace on."""

    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: aio.ClientCallDetails, request: Any
    ) -> Any:
        """Begins the call; its span ends when the call does, however that comes."""
        span, details = self._begin(client_call_details)
        try:
            call = await continuation(details, request)
        except BaseException:
            _finish(span, grpc.StatusCode.CANCELLED, failed=True)
            span.end()
            raise

        def done(ended: Any) -> None:
            code = _code_of(ended)
            _finish(span, code, failed=code is not grpc.StatusCode.OK)
            span.end()

        call.add_done_callback(done)
        return call


def _code_of(call: Any) -> grpc.StatusCode:
    """Returns the code of a call that is done; its coroutine has nothing left to wait for, so one step completes it."""
    coroutine = call.code()
    try:
        coroutine.send(None)
    except StopIteration as stop:
        code: grpc.StatusCode = stop.value
        return code
    finally:
        coroutine.close()
    return grpc.StatusCode.UNKNOWN
