"""Converts the messages of the contract to and from the model; all violations of a request are reported at once."""

import ipaddress
import re
from collections.abc import Iterable

from google.protobuf.duration_pb2 import Duration

from clicktrace.common.v1 import common_pb2
from clicktrace.tracer.v1 import tracer_pb2 as pb
from libs.common.errors import Violation, invalid_request
from libs.common.rpc import times
from services.tracer.follow import urls
from services.tracer.model.report import Failure, Hop, HopKind, Parameter, Result, Timing
from services.tracer.model.request import Limits, Policy, Protocol, Proxy, TraceRequest

MAX_HOPS = 100
MAX_HOP_TIMEOUT = 60.0
"""Seconds."""
MAX_TOTAL_TIMEOUT = 300.0
"""Seconds."""
MAX_HOP_DELAY = 10.0
"""Seconds."""
_DEFAULTS = Limits()

_PROTOCOLS = {
    common_pb2.PROTOCOL_UNSPECIFIED: Protocol.HTTP,
    common_pb2.HTTP: Protocol.HTTP,
    common_pb2.HTTPS: Protocol.HTTPS,
    common_pb2.SOCKS5: Protocol.SOCKS5,
}
_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9.])?")
_PRINTABLE = re.compile(r"[\x20-\x7e]*")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


def to_request(
    message: pb.TraceRequest, *, now: float, call_remaining: float | None, allow_direct: bool
) -> TraceRequest:
    """Reads a request.

    `now` is the monotonic clock in seconds; `call_remaining` is the time to the deadline of the call in seconds, None
    without a deadline. Raises ClicktraceError INVALID_ARGUMENT/INVALID_REQUEST with a violation for each wrong field.
    """
    violations = list(_violations(message, allow_direct=allow_direct))
    if violations:
        raise invalid_request(violations)
    follow_html = message.policy.follow_html if message.policy.HasField("follow_html") else True
    return TraceRequest(
        trace_id=message.trace_id,
        url=message.url,
        proxy=_to_proxy(message.proxy) if message.HasField("proxy") else None,
        limits=_to_limits(message.limits),
        policy=Policy(
            user_agent=message.headers.user_agent,
            accept_language=message.headers.accept_language,
            follow_html=follow_html,
            allow_insecure_tls=message.policy.allow_insecure_tls,
        ),
        lease_deadline=now + times.to_seconds(message.lease_remaining) if message.HasField("lease_remaining") else None,
        call_deadline=None if call_remaining is None else now + call_remaining,
        hop_delay=times.to_seconds(message.hop_delay),
    )


def _to_proxy(message: common_pb2.Proxy) -> Proxy:
    return Proxy(
        host=message.ip_address.removeprefix("[").removesuffix("]"),
        port=message.ip_port,
        protocol=_PROTOCOLS[message.protocol],
        username=message.username,
        password=message.password,
        provider=message.provider,
        country=message.country,
    )


def _to_limits(message: pb.Limits) -> Limits:
    return Limits(
        max_hops=message.max_hops or _DEFAULTS.max_hops,
        hop_timeout=_seconds_or(message, "hop_timeout", _DEFAULTS.hop_timeout),
        total_timeout=_seconds_or(message, "total_timeout", _DEFAULTS.total_timeout),
        max_body_bytes=message.max_body_bytes or _DEFAULTS.max_body_bytes,
        max_url_bytes=message.max_url_bytes or _DEFAULTS.max_url_bytes,
    )


def _seconds_or(message: pb.Limits, field: str, default: float) -> float:
    return times.to_seconds(getattr(message, field)) if message.HasField(field) else default


def _violations(message: pb.TraceRequest, *, allow_direct: bool) -> Iterable[Violation]:
    if not 1 <= len(message.trace_id) <= 128:
        yield Violation("trace_id", "must have 1 to 128 characters")
    url = urls.parse(message.url)
    if url is None:
        yield Violation("url", "must be an absolute URL")
    elif url.scheme not in urls.WEB_SCHEMES:
        yield Violation("url", "must begin with http:// or https://")
    if message.HasField("proxy"):
        yield from _proxy_violations(message.proxy)
    elif not allow_direct:
        yield Violation("proxy", "must be set; this server does not walk without a proxy")
    yield from _limit_violations(message.limits)
    for field, value, longest in (
        ("headers.user_agent", message.headers.user_agent, 1024),
        ("headers.accept_language", message.headers.accept_language, 256),
    ):
        if len(value) > longest or not _PRINTABLE.fullmatch(value):
            yield Violation(field, f"must have at most {longest} characters, all printable ASCII")
    if message.HasField("lease_remaining") and not _is_valid(message.lease_remaining):
        yield Violation("lease_remaining", "must be a valid duration")
    if not (_is_valid(message.hop_delay) and 0 <= times.to_seconds(message.hop_delay) <= MAX_HOP_DELAY):
        yield Violation("hop_delay", f"must be 0 to {MAX_HOP_DELAY:.0f} s")


def _proxy_violations(proxy: common_pb2.Proxy) -> Iterable[Violation]:
    if not _is_host(proxy.ip_address):
        yield Violation("proxy.ip_address", "must be a host name or an IP literal")
    if not 1 <= proxy.ip_port <= 65535:
        yield Violation("proxy.ip_port", "must be 1 to 65535")
    if proxy.protocol not in _PROTOCOLS:
        yield Violation("proxy.protocol", "must be HTTP, HTTPS or SOCKS5")
    for field, value in (("username", proxy.username), ("password", proxy.password)):
        if len(value.encode()) > 255 or _CONTROLS.search(value):
            yield Violation(f"proxy.{field}", "must have at most 255 bytes and no control characters")
    if ":" in proxy.username:
        yield Violation("proxy.username", "must not contain a colon")


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return _HOST_NAME.fullmatch(text) is not None
    return True


def _limit_violations(limits: pb.Limits) -> Iterable[Violation]:
    if not 0 <= limits.max_hops <= MAX_HOPS:
        yield Violation("limits.max_hops", f"must be 1 to {MAX_HOPS}")
    for field, longest in (("hop_timeout", MAX_HOP_TIMEOUT), ("total_timeout", MAX_TOTAL_TIMEOUT)):
        duration: Duration = getattr(limits, field)
        if limits.HasField(field) and not (_is_valid(duration) and 0 < times.to_seconds(duration) <= longest):
            yield Violation(f"limits.{field}", f"must be more than 0 and at most {longest:.0f} s")
    if not 0 <= limits.max_body_bytes <= _DEFAULTS.max_body_bytes:
        yield Violation("limits.max_body_bytes", f"must be 1 to {_DEFAULTS.max_body_bytes}")
    if not 0 <= limits.max_url_bytes <= _DEFAULTS.max_url_bytes:
        yield Violation("limits.max_url_bytes", f"must be 1 to {_DEFAULTS.max_url_bytes}")


def _is_valid(duration: Duration) -> bool:
    """Says whether a duration is one: within 10,000 years, and with both parts of one sign."""
    return (
        abs(duration.seconds) <= 315_576_000_000
        and abs(duration.nanos) < 1_000_000_000
        and duration.seconds * duration.nanos >= 0
    )


_KINDS = {
    HopKind.LOCATION: common_pb2.Hop.LOCATION,
    HopKind.REFRESH_HEADER: common_pb2.Hop.REFRESH_HEADER,
    HopKind.META_REFRESH: common_pb2.Hop.META_REFRESH,
    HopKind.SCRIPT: common_pb2.Hop.SCRIPT,
}


def from_event(event: Hop | Result, earlier: Iterable[Hop] = ()) -> pb.TraceEvent:
    """Writes an event, together with the hops that were held back for it."""
    message = pb.TraceEvent() if isinstance(event, Hop) else pb.TraceEvent(result=_from_result(event))
    for hop in earlier:
        _put_hop(message.earlier_hops.add(), hop)
    if isinstance(event, Hop):
        _put_hop(message.hop, event)
    return message


def _put_hop(message: common_pb2.Hop, hop: Hop) -> None:
    """Writes a hop field by field, in place: building it from messages costs five times as much CPU."""
    message.index = hop.number
    message.url = hop.url
    message.status = hop.status
    message.next_url = hop.next_url
    if hop.kind is not None:
        message.kind = _KINDS[hop.kind]
    _put_timing(message.timing, hop.timing)
    message.remote_address = hop.remote_address
    message.http_version = hop.http_version
    message.tls_version = hop.tls_version
    message.bytes = hop.bytes
    message.set_cookie_names.extend(hop.set_cookie_names)
    message.error = hop.error
    message.snippet = hop.snippet


def _put_timing(message: common_pb2.Timing, timing: Timing) -> None:
    times.put(message.total, timing.total)
    if timing.dns is not None:
        times.put(message.dns, timing.dns)
    if timing.connect is not None:
        times.put(message.connect, timing.connect)
    if timing.tls is not None:
        times.put(message.tls, timing.tls)
    if timing.first_byte is not None:
        times.put(message.first_byte, timing.first_byte)


def _from_parameter(parameter: Parameter) -> common_pb2.Parameter:
    return common_pb2.Parameter(
        name=parameter.name,
        value=parameter.value,
        in_fragment=parameter.in_fragment,
        no_equals=parameter.no_equals,
    )


def _from_result(result: Result) -> pb.Result:
    return pb.Result(
        final_url=result.final_url,
        stop_reason=result.stop_reason.name,
        hops=result.hops,
        failure=_from_failure(result.failure, result) if result.failure else None,
        params=map(_from_parameter, result.params),
        total_time=times.to_duration(result.total_time),
        bytes=result.bytes,
        final_status=result.final_status,
        forwarded=result.forwarded,
        challenged=result.challenged,
    )


def _from_failure(failure: Failure, result: Result) -> pb.Failure:
    return pb.Failure(
        reason=failure.reason,
        blame=failure.blame.name,
        target_reached=result.target_reached,
        message=failure.message,
        target_host=result.host,
    )
