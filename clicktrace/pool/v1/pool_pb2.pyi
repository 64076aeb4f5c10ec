import datetime

from clicktrace.common.v1 import common_pb2 as _common_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    SUCCESS: _ClassVar[Outcome]
    PROXY_FAILURE: _ClassVar[Outcome]
    TARGET_FAILURE: _ClassVar[Outcome]
    CANCELLED: _ClassVar[Outcome]
    UNCLEAR_FAILURE: _ClassVar[Outcome]
    UNUSED: _ClassVar[Outcome]

class ProxyState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROXY_STATE_UNSPECIFIED: _ClassVar[ProxyState]
    AVAILABLE: _ClassVar[ProxyState]
    IN_USE: _ClassVar[ProxyState]
    COOLDOWN: _ClassVar[ProxyState]
    UNHEALTHY: _ClassVar[ProxyState]
    DRAINED: _ClassVar[ProxyState]

class ProxyAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROXY_ACTION_UNSPECIFIED: _ClassVar[ProxyAction]
    DRAIN: _ClassVar[ProxyAction]
    ENABLE: _ClassVar[ProxyAction]
    RESET_HEALTH: _ClassVar[ProxyAction]
OUTCOME_UNSPECIFIED: Outcome
SUCCESS: Outcome
PROXY_FAILURE: Outcome
TARGET_FAILURE: Outcome
CANCELLED: Outcome
UNCLEAR_FAILURE: Outcome
UNUSED: Outcome
PROXY_STATE_UNSPECIFIED: ProxyState
AVAILABLE: ProxyState
IN_USE: ProxyState
COOLDOWN: ProxyState
UNHEALTHY: ProxyState
DRAINED: ProxyState
PROXY_ACTION_UNSPECIFIED: ProxyAction
DRAIN: ProxyAction
ENABLE: ProxyAction
RESET_HEALTH: ProxyAction

class Lease(_message.Message):
    __slots__ = ("lease_id", "fence", "proxy", "expire_time")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    PROXY_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    fence: int
    proxy: _common_pb2.Proxy
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, lease_id: _Optional[str] = ..., fence: _Optional[int] = ..., proxy: _Optional[_Union[_common_pb2.Proxy, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class LeaseRequest(_message.Message):
    __slots__ = ("request_id", "country", "offer", "holder", "ttl", "wait", "click_id", "asks_again")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    CLICK_ID_FIELD_NUMBER: _ClassVar[int]
    ASKS_AGAIN_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    country: str
    offer: str
    holder: str
    ttl: _duration_pb2.Duration
    wait: _duration_pb2.Duration
    click_id: str
    asks_again: bool
    def __init__(self, request_id: _Optional[str] = ..., country: _Optional[str] = ..., offer: _Optional[str] = ..., holder: _Optional[str] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., click_id: _Optional[str] = ..., asks_again: _Optional[bool] = ...) -> None: ...

class LeaseResponse(_message.Message):
    __slots__ = ("lease", "db_time")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    DB_TIME_FIELD_NUMBER: _ClassVar[int]
    lease: Lease
    db_time: _timestamp_pb2.Timestamp
    def __init__(self, lease: _Optional[_Union[Lease, _Mapping]] = ..., db_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class HeartbeatRequest(_message.Message):
    __slots__ = ("lease_id", "fence", "ttl")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    fence: int
    ttl: _duration_pb2.Duration
    def __init__(self, lease_id: _Optional[str] = ..., fence: _Optional[int] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class HeartbeatResponse(_message.Message):
    __slots__ = ("expire_time", "db_time")
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    DB_TIME_FIELD_NUMBER: _ClassVar[int]
    expire_time: _timestamp_pb2.Timestamp
    db_time: _timestamp_pb2.Timestamp
    def __init__(self, expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., db_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("lease_id", "fence", "outcome", "failure_reason", "trace_time", "bytes", "click_id", "target_host")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    FAILURE_REASON_FIELD_NUMBER: _ClassVar[int]
    TRACE_TIME_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    CLICK_ID_FIELD_NUMBER: _ClassVar[int]
    TARGET_HOST_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    fence: int
    outcome: Outcome
    failure_reason: str
    trace_time: _duration_pb2.Duration
    bytes: int
    click_id: str
    target_host: str
    def __init__(self, lease_id: _Optional[str] = ..., fence: _Optional[int] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., failure_reason: _Optional[str] = ..., trace_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., bytes: _Optional[int] = ..., click_id: _Optional[str] = ..., target_host: _Optional[str] = ...) -> None: ...

class ReleaseResponse(_message.Message):
    __slots__ = ("available_time", "db_time")
    AVAILABLE_TIME_FIELD_NUMBER: _ClassVar[int]
    DB_TIME_FIELD_NUMBER: _ClassVar[int]
    available_time: _timestamp_pb2.Timestamp
    db_time: _timestamp_pb2.Timestamp
    def __init__(self, available_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., db_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class BatchLeaseRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[LeaseRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[LeaseRequest, _Mapping]]] = ...) -> None: ...

class BatchLeaseResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[LeaseResult]
    def __init__(self, results: _Optional[_Iterable[_Union[LeaseResult, _Mapping]]] = ...) -> None: ...

class LeaseResult(_message.Message):
    __slots__ = ("response", "error")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    response: LeaseResponse
    error: _status_pb2.Status
    def __init__(self, response: _Optional[_Union[LeaseResponse, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class BatchHeartbeatRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[HeartbeatRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[HeartbeatRequest, _Mapping]]] = ...) -> None: ...

class BatchHeartbeatResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[HeartbeatResult]
    def __init__(self, results: _Optional[_Iterable[_Union[HeartbeatResult, _Mapping]]] = ...) -> None: ...

class HeartbeatResult(_message.Message):
    __slots__ = ("response", "error")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    response: HeartbeatResponse
    error: _status_pb2.Status
    def __init__(self, response: _Optional[_Union[HeartbeatResponse, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class BatchReleaseRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[ReleaseRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[ReleaseRequest, _Mapping]]] = ...) -> None: ...

class BatchReleaseResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ReleaseResult]
    def __init__(self, results: _Optional[_Iterable[_Union[ReleaseResult, _Mapping]]] = ...) -> None: ...

class ReleaseResult(_message.Message):
    __slots__ = ("response", "error")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    response: ReleaseResponse
    error: _status_pb2.Status
    def __init__(self, response: _Optional[_Union[ReleaseResponse, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class ProxySpec(_message.Message):
    __slots__ = ("ip_address", "ip_port", "country", "provider", "protocol", "cooldown")
    IP_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    IP_PORT_FIELD_NUMBER: _ClassVar[int]
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    COOLDOWN_FIELD_NUMBER: _ClassVar[int]
    ip_address: str
    ip_port: int
    country: str
    provider: str
    protocol: _common_pb2.Protocol
    cooldown: _duration_pb2.Duration
    def __init__(self, ip_address: _Optional[str] = ..., ip_port: _Optional[int] = ..., country: _Optional[str] = ..., provider: _Optional[str] = ..., protocol: _Optional[_Union[_common_pb2.Protocol, str]] = ..., cooldown: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ProvisionProxiesRequest(_message.Message):
    __slots__ = ("proxies", "dry_run")
    PROXIES_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    proxies: _containers.RepeatedCompositeFieldContainer[ProxySpec]
    dry_run: bool
    def __init__(self, proxies: _Optional[_Iterable[_Union[ProxySpec, _Mapping]]] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class ProvisionProxiesResponse(_message.Message):
    __slots__ = ("created", "updated", "unchanged")
    CREATED_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    created: int
    updated: int
    unchanged: int
    def __init__(self, created: _Optional[int] = ..., updated: _Optional[int] = ..., unchanged: _Optional[int] = ...) -> None: ...

class ProxyFilter(_message.Message):
    __slots__ = ("country", "provider", "state", "ip_address")
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    IP_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    country: str
    provider: str
    state: ProxyState
    ip_address: str
    def __init__(self, country: _Optional[str] = ..., provider: _Optional[str] = ..., state: _Optional[_Union[ProxyState, str]] = ..., ip_address: _Optional[str] = ...) -> None: ...

class ProxyInfo(_message.Message):
    __slots__ = ("proxy_id", "ip_address", "ip_port", "protocol", "country", "provider", "state", "available_time", "consecutive_failures", "fence", "cooldown", "is_healthy", "drained", "exit_address", "exit_country")
    PROXY_ID_FIELD_NUMBER: _ClassVar[int]
    IP_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    IP_PORT_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_TIME_FIELD_NUMBER: _ClassVar[int]
    CONSECUTIVE_FAILURES_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    COOLDOWN_FIELD_NUMBER: _ClassVar[int]
    IS_HEALTHY_FIELD_NUMBER: _ClassVar[int]
    DRAINED_FIELD_NUMBER: _ClassVar[int]
    EXIT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    EXIT_COUNTRY_FIELD_NUMBER: _ClassVar[int]
    proxy_id: int
    ip_address: str
    ip_port: int
    protocol: _common_pb2.Protocol
    country: str
    provider: str
    state: ProxyState
    available_time: _timestamp_pb2.Timestamp
    consecutive_failures: int
    fence: int
    cooldown: _duration_pb2.Duration
    is_healthy: bool
    drained: bool
    exit_address: str
    exit_country: str
    def __init__(self, proxy_id: _Optional[int] = ..., ip_address: _Optional[str] = ..., ip_port: _Optional[int] = ..., protocol: _Optional[_Union[_common_pb2.Protocol, str]] = ..., country: _Optional[str] = ..., provider: _Optional[str] = ..., state: _Optional[_Union[ProxyState, str]] = ..., available_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., consecutive_failures: _Optional[int] = ..., fence: _Optional[int] = ..., cooldown: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., is_healthy: _Optional[bool] = ..., drained: _Optional[bool] = ..., exit_address: _Optional[str] = ..., exit_country: _Optional[str] = ...) -> None: ...

class ListProxiesRequest(_message.Message):
    __slots__ = ("filter", "page_size", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: ProxyFilter
    page_size: int
    page_token: str
    def __init__(self, filter: _Optional[_Union[ProxyFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListProxiesResponse(_message.Message):
    __slots__ = ("proxies", "next_page_token", "db_time")
    PROXIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DB_TIME_FIELD_NUMBER: _ClassVar[int]
    proxies: _containers.RepeatedCompositeFieldContainer[ProxyInfo]
    next_page_token: str
    db_time: _timestamp_pb2.Timestamp
    def __init__(self, proxies: _Optional[_Iterable[_Union[ProxyInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., db_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class UpdateProxiesRequest(_message.Message):
    __slots__ = ("proxy_ids", "filter", "action", "dry_run")
    PROXY_IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    proxy_ids: _containers.RepeatedScalarFieldContainer[int]
    filter: ProxyFilter
    action: ProxyAction
    dry_run: bool
    def __init__(self, proxy_ids: _Optional[_Iterable[int]] = ..., filter: _Optional[_Union[ProxyFilter, _Mapping]] = ..., action: _Optional[_Union[ProxyAction, str]] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class UpdateProxiesResponse(_message.Message):
    __slots__ = ("matched", "changed")
    MATCHED_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    matched: int
    changed: int
    def __init__(self, matched: _Optional[int] = ..., changed: _Optional[int] = ...) -> None: ...

class DeleteProxiesRequest(_message.Message):
    __slots__ = ("proxy_ids", "filter", "revoke_leases", "dry_run")
    PROXY_IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    REVOKE_LEASES_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    proxy_ids: _containers.RepeatedScalarFieldContainer[int]
    filter: ProxyFilter
    revoke_leases: bool
    dry_run: bool
    def __init__(self, proxy_ids: _Optional[_Iterable[int]] = ..., filter: _Optional[_Union[ProxyFilter, _Mapping]] = ..., revoke_leases: _Optional[bool] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class DeleteProxiesResponse(_message.Message):
    __slots__ = ("deleted", "revoked")
    DELETED_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    revoked: int
    def __init__(self, deleted: _Optional[int] = ..., revoked: _Optional[int] = ...) -> None: ...

class GetPoolStatusRequest(_message.Message):
    __slots__ = ("country",)
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    country: str
    def __init__(self, country: _Optional[str] = ...) -> None: ...

class PoolStatus(_message.Message):
    __slots__ = ("country", "total", "available", "in_use", "cooldown", "unhealthy", "drained", "utilization", "next_available_time")
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    IN_USE_FIELD_NUMBER: _ClassVar[int]
    COOLDOWN_FIELD_NUMBER: _ClassVar[int]
    UNHEALTHY_FIELD_NUMBER: _ClassVar[int]
    DRAINED_FIELD_NUMBER: _ClassVar[int]
    UTILIZATION_FIELD_NUMBER: _ClassVar[int]
    NEXT_AVAILABLE_TIME_FIELD_NUMBER: _ClassVar[int]
    country: str
    total: int
    available: int
    in_use: int
    cooldown: int
    unhealthy: int
    drained: int
    utilization: float
    next_available_time: _timestamp_pb2.Timestamp
    def __init__(self, country: _Optional[str] = ..., total: _Optional[int] = ..., available: _Optional[int] = ..., in_use: _Optional[int] = ..., cooldown: _Optional[int] = ..., unhealthy: _Optional[int] = ..., drained: _Optional[int] = ..., utilization: _Optional[float] = ..., next_available_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetPoolStatusResponse(_message.Message):
    __slots__ = ("total", "countries", "db_time")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    COUNTRIES_FIELD_NUMBER: _ClassVar[int]
    DB_TIME_FIELD_NUMBER: _ClassVar[int]
    total: PoolStatus
    countries: _containers.RepeatedCompositeFieldContainer[PoolStatus]
    db_time: _timestamp_pb2.Timestamp
    def __init__(self, total: _Optional[_Union[PoolStatus, _Mapping]] = ..., countries: _Optional[_Iterable[_Union[PoolStatus, _Mapping]]] = ..., db_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class LeaseInfo(_message.Message):
    __slots__ = ("lease_id", "fence", "proxy_id", "ip_address", "ip_port", "country", "provider", "request_id", "offer", "holder", "grant_time", "expire_time", "release_time", "outcome", "failure_reason", "live", "revoked")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    PROXY_ID_FIELD_NUMBER: _ClassVar[int]
    IP_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    IP_PORT_FIELD_NUMBER: _ClassVar[int]
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    GRANT_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    RELEASE_TIME_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    FAILURE_REASON_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    fence: int
    proxy_id: int
    ip_address: str
    ip_port: int
    country: str
    provider: str
    request_id: str
    offer: str
    holder: str
    grant_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    release_time: _timestamp_pb2.Timestamp
    outcome: Outcome
    failure_reason: str
    live: bool
    revoked: bool
    def __init__(self, lease_id: _Optional[str] = ..., fence: _Optional[int] = ..., proxy_id: _Optional[int] = ..., ip_address: _Optional[str] = ..., ip_port: _Optional[int] = ..., country: _Optional[str] = ..., provider: _Optional[str] = ..., request_id: _Optional[str] = ..., offer: _Optional[str] = ..., holder: _Optional[str] = ..., grant_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., release_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., failure_reason: _Optional[str] = ..., live: _Optional[bool] = ..., revoked: _Optional[bool] = ...) -> None: ...

class ListLeasesRequest(_message.Message):
    __slots__ = ("include_past", "ip_address", "offer", "holder", "country", "since", "until", "page_size", "page_token")
    INCLUDE_PAST_FIELD_NUMBER: _ClassVar[int]
    IP_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    include_past: bool
    ip_address: str
    offer: str
    holder: str
    country: str
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    page_size: int
    page_token: str
    def __init__(self, include_past: _Optional[bool] = ..., ip_address: _Optional[str] = ..., offer: _Optional[str] = ..., holder: _Optional[str] = ..., country: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListLeasesResponse(_message.Message):
    __slots__ = ("leases", "next_page_token", "db_time")
    LEASES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DB_TIME_FIELD_NUMBER: _ClassVar[int]
    leases: _containers.RepeatedCompositeFieldContainer[LeaseInfo]
    next_page_token: str
    db_time: _timestamp_pb2.Timestamp
    def __init__(self, leases: _Optional[_Iterable[_Union[LeaseInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., db_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RevokeLeaseRequest(_message.Message):
    __slots__ = ("lease_id", "dry_run")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    dry_run: bool
    def __init__(self, lease_id: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class RevokeLeaseResponse(_message.Message):
    __slots__ = ("revoked", "available_time")
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_TIME_FIELD_NUMBER: _ClassVar[int]
    revoked: bool
    available_time: _timestamp_pb2.Timestamp
    def __init__(self, revoked: _Optional[bool] = ..., available_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RunMaintenanceRequest(_message.Message):
    __slots__ = ("dry_run",)
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    dry_run: bool
    def __init__(self, dry_run: _Optional[bool] = ...) -> None: ...

class RunMaintenanceResponse(_message.Message):
    __slots__ = ("statistics_rows", "expired_leases", "deleted_rows", "findings", "skipped")
    STATISTICS_ROWS_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_LEASES_FIELD_NUMBER: _ClassVar[int]
    DELETED_ROWS_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    statistics_rows: int
    expired_leases: int
    deleted_rows: int
    findings: _containers.RepeatedScalarFieldContainer[str]
    skipped: bool
    def __init__(self, statistics_rows: _Optional[int] = ..., expired_leases: _Optional[int] = ..., deleted_rows: _Optional[int] = ..., findings: _Optional[_Iterable[str]] = ..., skipped: _Optional[bool] = ...) -> None: ...

class PoolStatistics(_message.Message):
    __slots__ = ("country", "start_time", "end_time", "total", "available", "utilization", "grants", "refusals", "waits", "mean_trace_time", "proxy_failures", "estimated_cost")
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    UTILIZATION_FIELD_NUMBER: _ClassVar[int]
    GRANTS_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    WAITS_FIELD_NUMBER: _ClassVar[int]
    MEAN_TRACE_TIME_FIELD_NUMBER: _ClassVar[int]
    PROXY_FAILURES_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_COST_FIELD_NUMBER: _ClassVar[int]
    country: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    total: int
    available: int
    utilization: float
    grants: int
    refusals: int
    waits: int
    mean_trace_time: _duration_pb2.Duration
    proxy_failures: int
    estimated_cost: float
    def __init__(self, country: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., total: _Optional[int] = ..., available: _Optional[int] = ..., utilization: _Optional[float] = ..., grants: _Optional[int] = ..., refusals: _Optional[int] = ..., waits: _Optional[int] = ..., mean_trace_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., proxy_failures: _Optional[int] = ..., estimated_cost: _Optional[float] = ...) -> None: ...

class ListStatisticsRequest(_message.Message):
    __slots__ = ("country", "since", "page_size", "page_token")
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    country: str
    since: _timestamp_pb2.Timestamp
    page_size: int
    page_token: str
    def __init__(self, country: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListStatisticsResponse(_message.Message):
    __slots__ = ("statistics", "next_page_token")
    STATISTICS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    statistics: _containers.RepeatedCompositeFieldContainer[PoolStatistics]
    next_page_token: str
    def __init__(self, statistics: _Optional[_Iterable[_Union[PoolStatistics, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class EstimatePoolSizeRequest(_message.Message):
    __slots__ = ("country", "clicks_per_second", "trace_time", "cooldown", "target_loss", "peak_concurrent", "buffer", "added_ips")
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    CLICKS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    TRACE_TIME_FIELD_NUMBER: _ClassVar[int]
    COOLDOWN_FIELD_NUMBER: _ClassVar[int]
    TARGET_LOSS_FIELD_NUMBER: _ClassVar[int]
    PEAK_CONCURRENT_FIELD_NUMBER: _ClassVar[int]
    BUFFER_FIELD_NUMBER: _ClassVar[int]
    ADDED_IPS_FIELD_NUMBER: _ClassVar[int]
    country: str
    clicks_per_second: float
    trace_time: _duration_pb2.Duration
    cooldown: _duration_pb2.Duration
    target_loss: float
    peak_concurrent: float
    buffer: float
    added_ips: int
    def __init__(self, country: _Optional[str] = ..., clicks_per_second: _Optional[float] = ..., trace_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., cooldown: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., target_loss: _Optional[float] = ..., peak_concurrent: _Optional[float] = ..., buffer: _Optional[float] = ..., added_ips: _Optional[int] = ...) -> None: ...

class EstimatePoolSizeResponse(_message.Message):
    __slots__ = ("erlang_b_ips", "rule_of_thumb_ips", "offered_load", "present_ips", "present_loss", "assumptions", "time_to_exhaustion")
    ERLANG_B_IPS_FIELD_NUMBER: _ClassVar[int]
    RULE_OF_THUMB_IPS_FIELD_NUMBER: _ClassVar[int]
    OFFERED_LOAD_FIELD_NUMBER: _ClassVar[int]
    PRESENT_IPS_FIELD_NUMBER: _ClassVar[int]
    PRESENT_LOSS_FIELD_NUMBER: _ClassVar[int]
    ASSUMPTIONS_FIELD_NUMBER: _ClassVar[int]
    TIME_TO_EXHAUSTION_FIELD_NUMBER: _ClassVar[int]
    erlang_b_ips: int
    rule_of_thumb_ips: int
    offered_load: float
    present_ips: int
    present_loss: float
    assumptions: EstimatePoolSizeRequest
    time_to_exhaustion: _duration_pb2.Duration
    def __init__(self, erlang_b_ips: _Optional[int] = ..., rule_of_thumb_ips: _Optional[int] = ..., offered_load: _Optional[float] = ..., present_ips: _Optional[int] = ..., present_loss: _Optional[float] = ..., assumptions: _Optional[_Union[EstimatePoolSizeRequest, _Mapping]] = ..., time_to_exhaustion: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WatchPoolRequest(_message.Message):
    __slots__ = ("country", "interval")
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    country: str
    interval: _duration_pb2.Duration
    def __init__(self, country: _Optional[str] = ..., interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WatchPoolResponse(_message.Message):
    __slots__ = ("status", "proxies", "deleted_proxy_ids")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PROXIES_FIELD_NUMBER: _ClassVar[int]
    DELETED_PROXY_IDS_FIELD_NUMBER: _ClassVar[int]
    status: GetPoolStatusResponse
    proxies: _containers.RepeatedCompositeFieldContainer[ProxyInfo]
    deleted_proxy_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, status: _Optional[_Union[GetPoolStatusResponse, _Mapping]] = ..., proxies: _Optional[_Iterable[_Union[ProxyInfo, _Mapping]]] = ..., deleted_proxy_ids: _Optional[_Iterable[int]] = ...) -> None: ...
