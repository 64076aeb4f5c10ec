import datetime

from clicktrace.common.v1 import common_pb2 as _common_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Limits(_message.Message):
    __slots__ = ("max_hops", "hop_timeout", "total_timeout", "max_body_bytes", "max_url_bytes")
    MAX_HOPS_FIELD_NUMBER: _ClassVar[int]
    HOP_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MAX_BODY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_URL_BYTES_FIELD_NUMBER: _ClassVar[int]
    max_hops: int
    hop_timeout: _duration_pb2.Duration
    total_timeout: _duration_pb2.Duration
    max_body_bytes: int
    max_url_bytes: int
    def __init__(self, max_hops: _Optional[int] = ..., hop_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., total_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_body_bytes: _Optional[int] = ..., max_url_bytes: _Optional[int] = ...) -> None: ...

class RequestHeaders(_message.Message):
    __slots__ = ("user_agent", "accept_language")
    USER_AGENT_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    user_agent: str
    accept_language: str
    def __init__(self, user_agent: _Optional[str] = ..., accept_language: _Optional[str] = ...) -> None: ...

class Policy(_message.Message):
    __slots__ = ("follow_html", "allow_insecure_tls")
    FOLLOW_HTML_FIELD_NUMBER: _ClassVar[int]
    ALLOW_INSECURE_TLS_FIELD_NUMBER: _ClassVar[int]
    follow_html: bool
    allow_insecure_tls: bool
    def __init__(self, follow_html: _Optional[bool] = ..., allow_insecure_tls: _Optional[bool] = ...) -> None: ...

class TraceRequest(_message.Message):
    __slots__ = ("trace_id", "url", "proxy", "limits", "headers", "policy", "lease_remaining", "hop_delay")
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    PROXY_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    LEASE_REMAINING_FIELD_NUMBER: _ClassVar[int]
    HOP_DELAY_FIELD_NUMBER: _ClassVar[int]
    trace_id: str
    url: str
    proxy: _common_pb2.Proxy
    limits: Limits
    headers: RequestHeaders
    policy: Policy
    lease_remaining: _duration_pb2.Duration
    hop_delay: _duration_pb2.Duration
    def __init__(self, trace_id: _Optional[str] = ..., url: _Optional[str] = ..., proxy: _Optional[_Union[_common_pb2.Proxy, _Mapping]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., headers: _Optional[_Union[RequestHeaders, _Mapping]] = ..., policy: _Optional[_Union[Policy, _Mapping]] = ..., lease_remaining: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., hop_delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class TraceEvent(_message.Message):
    __slots__ = ("hop", "result", "earlier_hops")
    HOP_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    EARLIER_HOPS_FIELD_NUMBER: _ClassVar[int]
    hop: _common_pb2.Hop
    result: Result
    earlier_hops: _containers.RepeatedCompositeFieldContainer[_common_pb2.Hop]
    def __init__(self, hop: _Optional[_Union[_common_pb2.Hop, _Mapping]] = ..., result: _Optional[_Union[Result, _Mapping]] = ..., earlier_hops: _Optional[_Iterable[_Union[_common_pb2.Hop, _Mapping]]] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("final_url", "stop_reason", "hops", "failure", "params", "total_time", "bytes", "final_status", "forwarded", "challenged")
    class StopReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STOP_REASON_UNSPECIFIED: _ClassVar[Result.StopReason]
        LANDING: _ClassVar[Result.StopReason]
        MAX_HOPS: _ClassVar[Result.StopReason]
        HOP_TIMEOUT: _ClassVar[Result.StopReason]
        TOTAL_TIMEOUT: _ClassVar[Result.StopReason]
        URL_TOO_LARGE: _ClassVar[Result.StopReason]
        HEADERS_TOO_LARGE: _ClassVar[Result.StopReason]
        CONFLICTING_LOCATION: _ClassVar[Result.StopReason]
        INVALID_LOCATION: _ClassVar[Result.StopReason]
        UNSUPPORTED_SCHEME: _ClassVar[Result.StopReason]
        APP_LINK: _ClassVar[Result.StopReason]
        REFUSED_TARGET: _ClassVar[Result.StopReason]
        TLS_ERROR: _ClassVar[Result.StopReason]
        PROXY_ERROR: _ClassVar[Result.StopReason]
        PROTOCOL_ERROR: _ClassVar[Result.StopReason]
        CONNECTION_ERROR: _ClassVar[Result.StopReason]
        CANCELLED: _ClassVar[Result.StopReason]
        LEASE_EXPIRING: _ClassVar[Result.StopReason]
        INTERNAL: _ClassVar[Result.StopReason]
    STOP_REASON_UNSPECIFIED: Result.StopReason
    LANDING: Result.StopReason
    MAX_HOPS: Result.StopReason
    HOP_TIMEOUT: Result.StopReason
    TOTAL_TIMEOUT: Result.StopReason
    URL_TOO_LARGE: Result.StopReason
    HEADERS_TOO_LARGE: Result.StopReason
    CONFLICTING_LOCATION: Result.StopReason
    INVALID_LOCATION: Result.StopReason
    UNSUPPORTED_SCHEME: Result.StopReason
    APP_LINK: Result.StopReason
    REFUSED_TARGET: Result.StopReason
    TLS_ERROR: Result.StopReason
    PROXY_ERROR: Result.StopReason
    PROTOCOL_ERROR: Result.StopReason
    CONNECTION_ERROR: Result.StopReason
    CANCELLED: Result.StopReason
    LEASE_EXPIRING: Result.StopReason
    INTERNAL: Result.StopReason
    FINAL_URL_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TIME_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    FINAL_STATUS_FIELD_NUMBER: _ClassVar[int]
    FORWARDED_FIELD_NUMBER: _ClassVar[int]
    CHALLENGED_FIELD_NUMBER: _ClassVar[int]
    final_url: str
    stop_reason: Result.StopReason
    hops: int
    failure: Failure
    params: _containers.RepeatedCompositeFieldContainer[_common_pb2.Parameter]
    total_time: _duration_pb2.Duration
    bytes: int
    final_status: int
    forwarded: bool
    challenged: bool
    def __init__(self, final_url: _Optional[str] = ..., stop_reason: _Optional[_Union[Result.StopReason, str]] = ..., hops: _Optional[int] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., params: _Optional[_Iterable[_Union[_common_pb2.Parameter, _Mapping]]] = ..., total_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., bytes: _Optional[int] = ..., final_status: _Optional[int] = ..., forwarded: _Optional[bool] = ..., challenged: _Optional[bool] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("reason", "blame", "target_reached", "message", "target_host")
    class Blame(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        BLAME_UNSPECIFIED: _ClassVar[Failure.Blame]
        PROXY: _ClassVar[Failure.Blame]
        TARGET: _ClassVar[Failure.Blame]
        CALLER: _ClassVar[Failure.Blame]
        UNCLEAR: _ClassVar[Failure.Blame]
    BLAME_UNSPECIFIED: Failure.Blame
    PROXY: Failure.Blame
    TARGET: Failure.Blame
    CALLER: Failure.Blame
    UNCLEAR: Failure.Blame
    REASON_FIELD_NUMBER: _ClassVar[int]
    BLAME_FIELD_NUMBER: _ClassVar[int]
    TARGET_REACHED_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TARGET_HOST_FIELD_NUMBER: _ClassVar[int]
    reason: str
    blame: Failure.Blame
    target_reached: bool
    message: str
    target_host: str
    def __init__(self, reason: _Optional[str] = ..., blame: _Optional[_Union[Failure.Blame, str]] = ..., target_reached: _Optional[bool] = ..., message: _Optional[str] = ..., target_host: _Optional[str] = ...) -> None: ...
