import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Protocol(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROTOCOL_UNSPECIFIED: _ClassVar[Protocol]
    HTTP: _ClassVar[Protocol]
    HTTPS: _ClassVar[Protocol]
    SOCKS5: _ClassVar[Protocol]
PROTOCOL_UNSPECIFIED: Protocol
HTTP: Protocol
HTTPS: Protocol
SOCKS5: Protocol

class Proxy(_message.Message):
    __slots__ = ("ip_address", "ip_port", "protocol", "username", "password", "provider", "country")
    IP_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    IP_PORT_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    ip_address: str
    ip_port: int
    protocol: Protocol
    username: str
    password: str
    provider: str
    country: str
    def __init__(self, ip_address: _Optional[str] = ..., ip_port: _Optional[int] = ..., protocol: _Optional[_Union[Protocol, str]] = ..., username: _Optional[str] = ..., password: _Optional[str] = ..., provider: _Optional[str] = ..., country: _Optional[str] = ...) -> None: ...

class Timing(_message.Message):
    __slots__ = ("dns", "connect", "tls", "first_byte", "total")
    DNS_FIELD_NUMBER: _ClassVar[int]
    CONNECT_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    FIRST_BYTE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    dns: _duration_pb2.Duration
    connect: _duration_pb2.Duration
    tls: _duration_pb2.Duration
    first_byte: _duration_pb2.Duration
    total: _duration_pb2.Duration
    def __init__(self, dns: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., connect: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., tls: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., first_byte: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., total: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Parameter(_message.Message):
    __slots__ = ("name", "value", "in_fragment", "no_equals")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    IN_FRAGMENT_FIELD_NUMBER: _ClassVar[int]
    NO_EQUALS_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    in_fragment: bool
    no_equals: bool
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ..., in_fragment: _Optional[bool] = ..., no_equals: _Optional[bool] = ...) -> None: ...

class Hop(_message.Message):
    __slots__ = ("index", "url", "status", "next_url", "kind", "timing", "remote_address", "http_version", "tls_version", "bytes", "set_cookie_names", "error", "snippet", "attempt")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Hop.Kind]
        LOCATION: _ClassVar[Hop.Kind]
        REFRESH_HEADER: _ClassVar[Hop.Kind]
        META_REFRESH: _ClassVar[Hop.Kind]
        SCRIPT: _ClassVar[Hop.Kind]
    KIND_UNSPECIFIED: Hop.Kind
    LOCATION: Hop.Kind
    REFRESH_HEADER: Hop.Kind
    META_REFRESH: Hop.Kind
    SCRIPT: Hop.Kind
    INDEX_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    NEXT_URL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    REMOTE_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    HTTP_VERSION_FIELD_NUMBER: _ClassVar[int]
    TLS_VERSION_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    SET_COOKIE_NAMES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    SNIPPET_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    index: int
    url: str
    status: int
    next_url: str
    kind: Hop.Kind
    timing: Timing
    remote_address: str
    http_version: str
    tls_version: str
    bytes: int
    set_cookie_names: _containers.RepeatedScalarFieldContainer[str]
    error: str
    snippet: str
    attempt: int
    def __init__(self, index: _Optional[int] = ..., url: _Optional[str] = ..., status: _Optional[int] = ..., next_url: _Optional[str] = ..., kind: _Optional[_Union[Hop.Kind, str]] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ..., remote_address: _Optional[str] = ..., http_version: _Optional[str] = ..., tls_version: _Optional[str] = ..., bytes: _Optional[int] = ..., set_cookie_names: _Optional[_Iterable[str]] = ..., error: _Optional[str] = ..., snippet: _Optional[str] = ..., attempt: _Optional[int] = ...) -> None: ...
