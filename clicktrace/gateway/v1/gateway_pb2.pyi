import datetime

from clicktrace.common.v1 import common_pb2 as _common_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODE_UNSPECIFIED: _ClassVar[Mode]
    TRACE: _ClassVar[Mode]
    BEACON: _ClassVar[Mode]
    REDIRECT_ONLY: _ClassVar[Mode]

class MergePolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MERGE_POLICY_UNSPECIFIED: _ClassVar[MergePolicy]
    INBOUND_WINS: _ClassVar[MergePolicy]
    TRACED_WINS: _ClassVar[MergePolicy]
    APPEND: _ClassVar[MergePolicy]

class FallbackPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FALLBACK_POLICY_UNSPECIFIED: _ClassVar[FallbackPolicy]
    TRACKING_URL: _ClassVar[FallbackPolicy]
    LAST_LANDING: _ClassVar[FallbackPolicy]

class UserAgentPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USER_AGENT_POLICY_UNSPECIFIED: _ClassVar[UserAgentPolicy]
    TRACER: _ClassVar[UserAgentPolicy]
    VISITOR: _ClassVar[UserAgentPolicy]

class ClickStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CLICK_STATUS_UNSPECIFIED: _ClassVar[ClickStatus]
    PENDING: _ClassVar[ClickStatus]
    TRACING: _ClassVar[ClickStatus]
    COMPLETED: _ClassVar[ClickStatus]
    FAILED: _ClassVar[ClickStatus]
    NOT_TRACED: _ClassVar[ClickStatus]
    ABANDONED: _ClassVar[ClickStatus]

class Answer(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ANSWER_UNSPECIFIED: _ClassVar[Answer]
    LANDING: _ClassVar[Answer]
    FALLBACK: _ClassVar[Answer]
    NO_CONTENT: _ClassVar[Answer]
MODE_UNSPECIFIED: Mode
TRACE: Mode
BEACON: Mode
REDIRECT_ONLY: Mode
MERGE_POLICY_UNSPECIFIED: MergePolicy
INBOUND_WINS: MergePolicy
TRACED_WINS: MergePolicy
APPEND: MergePolicy
FALLBACK_POLICY_UNSPECIFIED: FallbackPolicy
TRACKING_URL: FallbackPolicy
LAST_LANDING: FallbackPolicy
USER_AGENT_POLICY_UNSPECIFIED: UserAgentPolicy
TRACER: UserAgentPolicy
VISITOR: UserAgentPolicy
CLICK_STATUS_UNSPECIFIED: ClickStatus
PENDING: ClickStatus
TRACING: ClickStatus
COMPLETED: ClickStatus
FAILED: ClickStatus
NOT_TRACED: ClickStatus
ABANDONED: ClickStatus
ANSWER_UNSPECIFIED: Answer
LANDING: Answer
FALLBACK: Answer
NO_CONTENT: Answer

class ParameterRename(_message.Message):
    __slots__ = ("to",)
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    to: str
    def __init__(self, to: _Optional[str] = ..., **kwargs) -> None: ...

class Offer(_message.Message):
    __slots__ = ("name", "tracking_url", "country", "max_wait", "mode", "merge_policy", "allow_params", "deny_params", "rename_params", "identity_params", "fallback_url", "fallback_policy", "landing_hosts", "user_agent_policy", "allow_app_links", "weight", "join_window", "create_time", "update_time", "webhook_url", "disabled", "etag", "landing_statuses", "blocked_landing")
    class BlockedLanding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        BLOCKED_LANDING_UNSPECIFIED: _ClassVar[Offer.BlockedLanding]
        USE: _ClassVar[Offer.BlockedLanding]
        FALLBACK: _ClassVar[Offer.BlockedLanding]
    BLOCKED_LANDING_UNSPECIFIED: Offer.BlockedLanding
    USE: Offer.BlockedLanding
    FALLBACK: Offer.BlockedLanding
    NAME_FIELD_NUMBER: _ClassVar[int]
    TRACKING_URL_FIELD_NUMBER: _ClassVar[int]
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    MAX_WAIT_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MERGE_POLICY_FIELD_NUMBER: _ClassVar[int]
    ALLOW_PARAMS_FIELD_NUMBER: _ClassVar[int]
    DENY_PARAMS_FIELD_NUMBER: _ClassVar[int]
    RENAME_PARAMS_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_PARAMS_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_URL_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_POLICY_FIELD_NUMBER: _ClassVar[int]
    LANDING_HOSTS_FIELD_NUMBER: _ClassVar[int]
    USER_AGENT_POLICY_FIELD_NUMBER: _ClassVar[int]
    ALLOW_APP_LINKS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    JOIN_WINDOW_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_URL_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    LANDING_STATUSES_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_LANDING_FIELD_NUMBER: _ClassVar[int]
    name: str
    tracking_url: str
    country: str
    max_wait: _duration_pb2.Duration
    mode: Mode
    merge_policy: MergePolicy
    allow_params: _containers.RepeatedScalarFieldContainer[str]
    deny_params: _containers.RepeatedScalarFieldContainer[str]
    rename_params: _containers.RepeatedCompositeFieldContainer[ParameterRename]
    identity_params: _containers.RepeatedScalarFieldContainer[str]
    fallback_url: str
    fallback_policy: FallbackPolicy
    landing_hosts: _containers.RepeatedScalarFieldContainer[str]
    user_agent_policy: UserAgentPolicy
    allow_app_links: bool
    weight: int
    join_window: _duration_pb2.Duration
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    webhook_url: str
    disabled: bool
    etag: str
    landing_statuses: _containers.RepeatedScalarFieldContainer[int]
    blocked_landing: Offer.BlockedLanding
    def __init__(self, name: _Optional[str] = ..., tracking_url: _Optional[str] = ..., country: _Optional[str] = ..., max_wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., mode: _Optional[_Union[Mode, str]] = ..., merge_policy: _Optional[_Union[MergePolicy, str]] = ..., allow_params: _Optional[_Iterable[str]] = ..., deny_params: _Optional[_Iterable[str]] = ..., rename_params: _Optional[_Iterable[_Union[ParameterRename, _Mapping]]] = ..., identity_params: _Optional[_Iterable[str]] = ..., fallback_url: _Optional[str] = ..., fallback_policy: _Optional[_Union[FallbackPolicy, str]] = ..., landing_hosts: _Optional[_Iterable[str]] = ..., user_agent_policy: _Optional[_Union[UserAgentPolicy, str]] = ..., allow_app_links: _Optional[bool] = ..., weight: _Optional[int] = ..., join_window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., webhook_url: _Optional[str] = ..., disabled: _Optional[bool] = ..., etag: _Optional[str] = ..., landing_statuses: _Optional[_Iterable[int]] = ..., blocked_landing: _Optional[_Union[Offer.BlockedLanding, str]] = ...) -> None: ...

class CreateOfferRequest(_message.Message):
    __slots__ = ("offer",)
    OFFER_FIELD_NUMBER: _ClassVar[int]
    offer: Offer
    def __init__(self, offer: _Optional[_Union[Offer, _Mapping]] = ...) -> None: ...

class CreateOfferResponse(_message.Message):
    __slots__ = ("offer",)
    OFFER_FIELD_NUMBER: _ClassVar[int]
    offer: Offer
    def __init__(self, offer: _Optional[_Union[Offer, _Mapping]] = ...) -> None: ...

class GetOfferRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetOfferResponse(_message.Message):
    __slots__ = ("offer",)
    OFFER_FIELD_NUMBER: _ClassVar[int]
    offer: Offer
    def __init__(self, offer: _Optional[_Union[Offer, _Mapping]] = ...) -> None: ...

class ListOffersRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListOffersResponse(_message.Message):
    __slots__ = ("offers", "next_page_token", "unreadable_offers")
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_OFFERS_FIELD_NUMBER: _ClassVar[int]
    offers: _containers.RepeatedCompositeFieldContainer[Offer]
    next_page_token: str
    unreadable_offers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, offers: _Optional[_Iterable[_Union[Offer, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., unreadable_offers: _Optional[_Iterable[str]] = ...) -> None: ...

class UpdateOfferRequest(_message.Message):
    __slots__ = ("offer", "update_mask")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    offer: Offer
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, offer: _Optional[_Union[Offer, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdateOfferResponse(_message.Message):
    __slots__ = ("offer",)
    OFFER_FIELD_NUMBER: _ClassVar[int]
    offer: Offer
    def __init__(self, offer: _Optional[_Union[Offer, _Mapping]] = ...) -> None: ...

class DeleteOfferRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteOfferResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ParameterSource(_message.Message):
    __slots__ = ("name", "value", "origin", "hop_index", "rule")
    class Origin(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ORIGIN_UNSPECIFIED: _ClassVar[ParameterSource.Origin]
        INBOUND: _ClassVar[ParameterSource.Origin]
        TRACED: _ClassVar[ParameterSource.Origin]
        OFFER: _ClassVar[ParameterSource.Origin]
    ORIGIN_UNSPECIFIED: ParameterSource.Origin
    INBOUND: ParameterSource.Origin
    TRACED: ParameterSource.Origin
    OFFER: ParameterSource.Origin
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    HOP_INDEX_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    origin: ParameterSource.Origin
    hop_index: int
    rule: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ..., origin: _Optional[_Union[ParameterSource.Origin, str]] = ..., hop_index: _Optional[int] = ..., rule: _Optional[str] = ...) -> None: ...

class ClickAttempt(_message.Message):
    __slots__ = ("lease_id", "fence", "ip_address", "ip_port", "country", "lease_wait", "trace_time", "outcome", "failure_reason")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    IP_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    IP_PORT_FIELD_NUMBER: _ClassVar[int]
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    LEASE_WAIT_FIELD_NUMBER: _ClassVar[int]
    TRACE_TIME_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    FAILURE_REASON_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    fence: int
    ip_address: str
    ip_port: int
    country: str
    lease_wait: _duration_pb2.Duration
    trace_time: _duration_pb2.Duration
    outcome: str
    failure_reason: str
    def __init__(self, lease_id: _Optional[str] = ..., fence: _Optional[int] = ..., ip_address: _Optional[str] = ..., ip_port: _Optional[int] = ..., country: _Optional[str] = ..., lease_wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., trace_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., outcome: _Optional[str] = ..., failure_reason: _Optional[str] = ...) -> None: ...

class Click(_message.Message):
    __slots__ = ("click_id", "offer", "status", "answer", "reason", "start_time", "visitor_wait", "end_time", "inbound_query", "location", "final_url", "stop_reason", "attempts", "hops", "params", "joined_click_id", "otel_trace_id")
    CLICK_ID_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    VISITOR_WAIT_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    INBOUND_QUERY_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    FINAL_URL_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    JOINED_CLICK_ID_FIELD_NUMBER: _ClassVar[int]
    OTEL_TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    click_id: str
    offer: str
    status: ClickStatus
    answer: Answer
    reason: str
    start_time: _timestamp_pb2.Timestamp
    visitor_wait: _duration_pb2.Duration
    end_time: _timestamp_pb2.Timestamp
    inbound_query: str
    location: str
    final_url: str
    stop_reason: str
    attempts: _containers.RepeatedCompositeFieldContainer[ClickAttempt]
    hops: _containers.RepeatedCompositeFieldContainer[_common_pb2.Hop]
    params: _containers.RepeatedCompositeFieldContainer[ParameterSource]
    joined_click_id: str
    otel_trace_id: str
    def __init__(self, click_id: _Optional[str] = ..., offer: _Optional[str] = ..., status: _Optional[_Union[ClickStatus, str]] = ..., answer: _Optional[_Union[Answer, str]] = ..., reason: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., visitor_wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., inbound_query: _Optional[str] = ..., location: _Optional[str] = ..., final_url: _Optional[str] = ..., stop_reason: _Optional[str] = ..., attempts: _Optional[_Iterable[_Union[ClickAttempt, _Mapping]]] = ..., hops: _Optional[_Iterable[_Union[_common_pb2.Hop, _Mapping]]] = ..., params: _Optional[_Iterable[_Union[ParameterSource, _Mapping]]] = ..., joined_click_id: _Optional[str] = ..., otel_trace_id: _Optional[str] = ...) -> None: ...

class GetClickRequest(_message.Message):
    __slots__ = ("click_id",)
    CLICK_ID_FIELD_NUMBER: _ClassVar[int]
    click_id: str
    def __init__(self, click_id: _Optional[str] = ...) -> None: ...

class GetClickResponse(_message.Message):
    __slots__ = ("click",)
    CLICK_FIELD_NUMBER: _ClassVar[int]
    click: Click
    def __init__(self, click: _Optional[_Union[Click, _Mapping]] = ...) -> None: ...

class ListClicksRequest(_message.Message):
    __slots__ = ("offer", "status", "since", "until", "page_size", "page_token", "reason")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    offer: str
    status: ClickStatus
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    page_size: int
    page_token: str
    reason: str
    def __init__(self, offer: _Optional[str] = ..., status: _Optional[_Union[ClickStatus, str]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ListClicksResponse(_message.Message):
    __slots__ = ("clicks", "next_page_token")
    CLICKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    clicks: _containers.RepeatedCompositeFieldContainer[Click]
    next_page_token: str
    def __init__(self, clicks: _Optional[_Iterable[_Union[Click, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchClicksRequest(_message.Message):
    __slots__ = ("offer",)
    OFFER_FIELD_NUMBER: _ClassVar[int]
    offer: str
    def __init__(self, offer: _Optional[str] = ...) -> None: ...

class WatchClicksResponse(_message.Message):
    __slots__ = ("click",)
    CLICK_FIELD_NUMBER: _ClassVar[int]
    click: Click
    def __init__(self, click: _Optional[_Union[Click, _Mapping]] = ...) -> None: ...

class Webhook(_message.Message):
    __slots__ = ("click_id", "offer", "url", "attempts", "dead", "last_error", "due_time", "create_time")
    CLICK_ID_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    DEAD_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    DUE_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    click_id: str
    offer: str
    url: str
    attempts: int
    dead: bool
    last_error: str
    due_time: _timestamp_pb2.Timestamp
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, click_id: _Optional[str] = ..., offer: _Optional[str] = ..., url: _Optional[str] = ..., attempts: _Optional[int] = ..., dead: _Optional[bool] = ..., last_error: _Optional[str] = ..., due_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListWebhooksRequest(_message.Message):
    __slots__ = ("offer", "dead", "page_size", "page_token")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    DEAD_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    offer: str
    dead: bool
    page_size: int
    page_token: str
    def __init__(self, offer: _Optional[str] = ..., dead: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListWebhooksResponse(_message.Message):
    __slots__ = ("webhooks", "next_page_token")
    WEBHOOKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    webhooks: _containers.RepeatedCompositeFieldContainer[Webhook]
    next_page_token: str
    def __init__(self, webhooks: _Optional[_Iterable[_Union[Webhook, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RetryWebhooksRequest(_message.Message):
    __slots__ = ("click_ids", "offer")
    CLICK_IDS_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    click_ids: _containers.RepeatedScalarFieldContainer[str]
    offer: str
    def __init__(self, click_ids: _Optional[_Iterable[str]] = ..., offer: _Optional[str] = ...) -> None: ...

class RetryWebhooksResponse(_message.Message):
    __slots__ = ("retried",)
    RETRIED_FIELD_NUMBER: _ClassVar[int]
    retried: int
    def __init__(self, retried: _Optional[int] = ...) -> None: ...

class ChainDrift(_message.Message):
    __slots__ = ("kind", "subject", "detail", "first_time", "last_time", "chains")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[ChainDrift.Kind]
        NEW_LANDING_HOST: _ClassVar[ChainDrift.Kind]
        LOST_PARAMETER: _ClassVar[ChainDrift.Kind]
        BROKEN_HOP: _ClassVar[ChainDrift.Kind]
        BLOCKED_LANDING: _ClassVar[ChainDrift.Kind]
    KIND_UNSPECIFIED: ChainDrift.Kind
    NEW_LANDING_HOST: ChainDrift.Kind
    LOST_PARAMETER: ChainDrift.Kind
    BROKEN_HOP: ChainDrift.Kind
    BLOCKED_LANDING: ChainDrift.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    FIRST_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_TIME_FIELD_NUMBER: _ClassVar[int]
    CHAINS_FIELD_NUMBER: _ClassVar[int]
    kind: ChainDrift.Kind
    subject: str
    detail: str
    first_time: _timestamp_pb2.Timestamp
    last_time: _timestamp_pb2.Timestamp
    chains: int
    def __init__(self, kind: _Optional[_Union[ChainDrift.Kind, str]] = ..., subject: _Optional[str] = ..., detail: _Optional[str] = ..., first_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., chains: _Optional[int] = ...) -> None: ...

class UsualPart(_message.Message):
    __slots__ = ("name", "share")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    name: str
    share: float
    def __init__(self, name: _Optional[str] = ..., share: _Optional[float] = ...) -> None: ...

class ChainShape(_message.Message):
    __slots__ = ("chains", "hops", "landing_hosts", "params", "blocked")
    CHAINS_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    LANDING_HOSTS_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_FIELD_NUMBER: _ClassVar[int]
    chains: int
    hops: _containers.RepeatedCompositeFieldContainer[UsualPart]
    landing_hosts: _containers.RepeatedCompositeFieldContainer[UsualPart]
    params: _containers.RepeatedCompositeFieldContainer[UsualPart]
    blocked: _containers.RepeatedCompositeFieldContainer[UsualPart]
    def __init__(self, chains: _Optional[int] = ..., hops: _Optional[_Iterable[_Union[UsualPart, _Mapping]]] = ..., landing_hosts: _Optional[_Iterable[_Union[UsualPart, _Mapping]]] = ..., params: _Optional[_Iterable[_Union[UsualPart, _Mapping]]] = ..., blocked: _Optional[_Iterable[_Union[UsualPart, _Mapping]]] = ...) -> None: ...

class OfferHealth(_message.Message):
    __slots__ = ("offer", "period", "clicks", "fallbacks", "fallback_share", "traces", "trace_time_p50", "trace_time_p90", "trace_time_p99", "drifts", "last_landing_url", "last_landing_time", "shape")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    CLICKS_FIELD_NUMBER: _ClassVar[int]
    FALLBACKS_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_SHARE_FIELD_NUMBER: _ClassVar[int]
    TRACES_FIELD_NUMBER: _ClassVar[int]
    TRACE_TIME_P50_FIELD_NUMBER: _ClassVar[int]
    TRACE_TIME_P90_FIELD_NUMBER: _ClassVar[int]
    TRACE_TIME_P99_FIELD_NUMBER: _ClassVar[int]
    DRIFTS_FIELD_NUMBER: _ClassVar[int]
    LAST_LANDING_URL_FIELD_NUMBER: _ClassVar[int]
    LAST_LANDING_TIME_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    offer: str
    period: _duration_pb2.Duration
    clicks: int
    fallbacks: int
    fallback_share: float
    traces: int
    trace_time_p50: _duration_pb2.Duration
    trace_time_p90: _duration_pb2.Duration
    trace_time_p99: _duration_pb2.Duration
    drifts: _containers.RepeatedCompositeFieldContainer[ChainDrift]
    last_landing_url: str
    last_landing_time: _timestamp_pb2.Timestamp
    shape: ChainShape
    def __init__(self, offer: _Optional[str] = ..., period: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., clicks: _Optional[int] = ..., fallbacks: _Optional[int] = ..., fallback_share: _Optional[float] = ..., traces: _Optional[int] = ..., trace_time_p50: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., trace_time_p90: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., trace_time_p99: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., drifts: _Optional[_Iterable[_Union[ChainDrift, _Mapping]]] = ..., last_landing_url: _Optional[str] = ..., last_landing_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., shape: _Optional[_Union[ChainShape, _Mapping]] = ...) -> None: ...

class ListOfferHealthRequest(_message.Message):
    __slots__ = ("offer", "drifting", "page_size", "page_token")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    DRIFTING_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    offer: str
    drifting: bool
    page_size: int
    page_token: str
    def __init__(self, offer: _Optional[str] = ..., drifting: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListOfferHealthResponse(_message.Message):
    __slots__ = ("offers", "next_page_token")
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    offers: _containers.RepeatedCompositeFieldContainer[OfferHealth]
    next_page_token: str
    def __init__(self, offers: _Optional[_Iterable[_Union[OfferHealth, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
