"""The one place that knows how an error looks in gRPC: google.rpc.Status and its details (AIP-193)."""

from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc import aio

from libs.common.errors import ClicktraceError, Code, Violation
from libs.common.rpc import times

DOMAIN = "clicktrace"

# Where gRPC carries a google.rpc.Status, as its status package defines it.
_DETAILS_KEY = "grpc-status-details-bin"


def to_status(error: ClicktraceError) -> status_pb2.Status:
    """Renders an error with ErrorInfo, and RetryInfo and BadRequest where it has them."""
    details = [_packed(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN))]
    if error.retry_after is not None:
        delay = times.to_duration(error.retry_after)
        details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    if error.violations:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=violation.field, description=violation.description)
            for violation in error.violations
        ]
        details.append(_packed(error_details_pb2.BadRequest(field_violations=violations)))
    return status_pb2.Status(code=error.code.value, message=error.message, details=details)


def from_status(status: status_pb2.Status) -> ClicktraceError:
    """Reads an error back; one without our ErrorInfo gets its code as reason."""
    code = _code(status.code)
    reason = code.name
    retry_after: float | None = None
    violations: list[Violation] = []
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        retry = error_details_pb2.RetryInfo()
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(retry):
            retry_after = times.to_seconds(retry.retry_delay)
        elif detail.Unpack(bad):
            violations = [Violation(violation.field, violation.description) for violation in bad.field_violations]
    return ClicktraceError(code, reason, status.message, retry_after=retry_after, violations=violations)


def from_rpc_error(error: aio.AioRpcError) -> ClicktraceError:
    """Reads the error of a call that failed, whether a server of ours, a foreign one or the transport made it."""
    status = status_pb2.Status(code=error.code().value[0], message=error.details() or "")
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                status = status_pb2.Status.FromString(value)
            except DecodeError:
                # Whoever sent this is no server of ours; the code and the message still hold.
                continue
    return from_status(status)


def _packed(
    message: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo | error_details_pb2.BadRequest,
) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _code(number: int) -> Code:
    try:
        return Code(number)
    except ValueError:
        return Code.UNKNOWN
