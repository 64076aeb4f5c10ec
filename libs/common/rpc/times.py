"""Protobuf times to and from Python's."""

from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

_NANOS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_duration(seconds: float) -> Duration:
    """Returns a Duration of `seconds`."""
    nanos = round(seconds * _NANOS)
    sign = -1 if nanos < 0 else 1
    return Duration(seconds=sign * (abs(nanos) // _NANOS), nanos=sign * (abs(nanos) % _NANOS))


def put(duration: Duration, seconds: float) -> None:
    """Sets a Duration to a number of seconds, 0 or more, in place: the fastest way to set a field of a message."""
    duration.seconds, duration.nanos = divmod(round(seconds * _NANOS), _NANOS)


def to_seconds(duration: Duration) -> float:
    """Returns a Duration in seconds."""
    return duration.seconds + duration.nanos / _NANOS


def to_timestamp(moment: datetime) -> Timestamp:
    """Returns a Timestamp of an aware datetime."""
    timestamp = Timestamp()
    put_moment(timestamp, moment)
    return timestamp


def put_moment(timestamp: Timestamp, moment: datetime) -> None:
    """Sets a Timestamp to an aware datetime, in place: the fastest way to set a field of a message."""
    since = moment - _EPOCH
    timestamp.seconds = since.days * 86_400 + since.seconds
    timestamp.nanos = since.microseconds * 1000


def to_datetime(timestamp: Timestamp) -> datetime:
    """Returns an aware datetime in UTC, to the microsecond."""
    return timestamp.ToDatetime(tzinfo=UTC)
