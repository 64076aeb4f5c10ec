"""An error survives the way over gRPC whole: code, reason, message, retry time and violations."""

import grpc
import pytest
from google.protobuf.any_pb2 import Any as PackedAny
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import ClicktraceError, Code, Violation, database_unavailable, invalid_request
from libs.common.rpc import status, times

REASONS = st.from_regex(r"[A-Z][A-Z0-9_]{0,40}", fullmatch=True)
TEXT = st.text(st.characters(codec="utf-8"), max_size=50)


@given(
    code=st.sampled_from(Code),
    reason=REASONS,
    message=TEXT,
    retry_after=st.none() | st.floats(0, 1e6),
    violations=st.lists(st.builds(Violation, TEXT, TEXT), max_size=3),
)
def test_there_and_back(
    code: Code, reason: str, message: str, retry_after: float | None, violations: list[Violation]
) -> None:
    error = ClicktraceError(code, reason, message, retry_after=retry_after, violations=violations)
    back = status.from_status(status_pb2.Status.FromString(status.to_status(error).SerializeToString()))
    assert (back.code, back.reason, back.message, back.violations) == (code, reason, message, tuple(violations))
    assert back.retry_after == (None if retry_after is None else pytest.approx(retry_after, abs=1e-9))


def test_the_details_are_those_of_google_rpc() -> None:
    rendered = status.to_status(
        ClicktraceError(Code.RESOURCE_EXHAUSTED, "NO_AVAILABLE_IP", "none is free", retry_after=1.5)
    )
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert rendered.details[0].Unpack(info)
    assert rendered.details[1].Unpack(retry)
    assert (info.reason, info.domain) == ("NO_AVAILABLE_IP", "clicktrace")
    assert retry.retry_delay.ToMilliseconds() == 1500


def test_a_request_with_faults_names_each() -> None:
    error = invalid_request([Violation("ttl", "is negative"), Violation("country", "is no country")])
    assert error.code is Code.INVALID_ARGUMENT
    assert error.message == "ttl: is negative; country: is no country"


def test_a_foreign_error_gets_its_code_as_reason() -> None:
    foreign = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details="connection refused"
    )
    error = status.from_rpc_error(foreign)
    assert (error.code, error.reason, error.message) == (Code.UNAVAILABLE, "UNAVAILABLE", "connection refused")


def test_broken_or_unknown_details_do_not_hide_the_error() -> None:
    trailing = grpc.aio.Metadata(("grpc-status-details-bin", b"\xff\xff"))
    broken = grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), trailing, details="gone")
    assert status.from_rpc_error(broken).code is Code.NOT_FOUND
    unknown = status_pb2.Status(code=99, message="odd", details=[PackedAny(type_url="x/y", value=b"?")])
    assert status.from_status(unknown).code is Code.UNKNOWN


@given(st.floats(-1e9, 1e9))
def test_durations_keep_their_length(seconds: float) -> None:
    duration = times.to_duration(seconds)
    assert times.to_seconds(duration) == pytest.approx(seconds, abs=1e-6)
    assert duration.seconds * duration.nanos >= 0


def test_a_database_that_cannot_be_used_is_to_be_tried_again() -> None:
    error = database_unavailable("it does not answer")
    assert (error.code, error.reason, error.retry_after) == (Code.UNAVAILABLE, "DATABASE_UNAVAILABLE", 1.0)
    assert error.message == "it does not answer"
