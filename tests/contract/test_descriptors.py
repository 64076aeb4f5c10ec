"""The names that operators, dashboards and outside tests rely on are in the generated code as the design fixes them."""

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, ServiceDescriptor

from clicktrace.common.v1 import common_pb2
from clicktrace.gateway.v1 import gateway_pb2
from clicktrace.pool.v1 import pool_pb2
from clicktrace.tracer.v1 import tracer_pb2

POOL, TRACER, GATEWAY = pool_pb2.DESCRIPTOR, tracer_pb2.DESCRIPTOR, gateway_pb2.DESCRIPTOR
COMMON = common_pb2.DESCRIPTOR

RPCS = {
    POOL.services_by_name["PoolManager"]: "Lease Heartbeat Release BatchLease BatchHeartbeat BatchRelease",
    POOL.services_by_name["PoolAdmin"]: (
        "ProvisionProxies ListProxies UpdateProxies DeleteProxies GetPoolStatus ListLeases RevokeLease RunMaintenance "
        "ListStatistics EstimatePoolSize WatchPool"
    ),
    TRACER.services_by_name["Tracer"]: "Trace",
    GATEWAY.services_by_name["OfferAdmin"]: "CreateOffer GetOffer ListOffers UpdateOffer DeleteOffer",
    GATEWAY.services_by_name["ClickLog"]: "GetClick ListClicks WatchClicks ListOfferHealth",
}

FIELDS = {
    POOL.message_types_by_name["LeaseRequest"]: "request_id country offer holder ttl wait",
    POOL.message_types_by_name["LeaseResponse"]: "lease db_time",
    POOL.message_types_by_name["Lease"]: "lease_id fence proxy expire_time",
    COMMON.message_types_by_name["Proxy"]: "ip_address ip_port protocol username password provider country",
    POOL.message_types_by_name["HeartbeatRequest"]: "lease_id fence ttl",
    POOL.message_types_by_name["HeartbeatResponse"]: "expire_time db_time",
    POOL.message_types_by_name["ReleaseRequest"]: "lease_id fence outcome failure_reason trace_time bytes target_host",
    POOL.message_types_by_name["ReleaseResponse"]: "available_time db_time",
    POOL.message_types_by_name["PoolStatus"]: (
        "total available in_use cooldown unhealthy drained utilization next_available_time"
    ),
    TRACER.message_types_by_name["TraceRequest"]: "trace_id url proxy lease_remaining limits headers policy",
    TRACER.message_types_by_name["Limits"]: "max_hops hop_timeout total_timeout max_body_bytes max_url_bytes",
    TRACER.message_types_by_name["RequestHeaders"]: "user_agent accept_language",
    TRACER.message_types_by_name["Policy"]: "follow_html allow_insecure_tls",
    TRACER.message_types_by_name["TraceEvent"]: "hop result",
    COMMON.message_types_by_name["Hop"]: (
        "index url status next_url kind timing remote_address http_version tls_version bytes set_cookie_names error"
    ),
    COMMON.message_types_by_name["Timing"]: "dns connect tls first_byte total",
    TRACER.message_types_by_name[
        "Result"
    ]: "final_url stop_reason hops failure params final_status forwarded challenged",
    TRACER.message_types_by_name["Failure"]: "reason blame target_reached target_host",
}

VALUES = {
    POOL.enum_types_by_name["Outcome"]: "SUCCESS PROXY_FAILURE TARGET_FAILURE CANCELLED UNCLEAR_FAILURE UNUSED",
    COMMON.message_types_by_name["Hop"].enum_types_by_name["Kind"]: "LOCATION REFRESH_HEADER META_REFRESH SCRIPT",
    TRACER.message_types_by_name["Failure"].enum_types_by_name["Blame"]: "PROXY TARGET CALLER UNCLEAR",
    TRACER.message_types_by_name["Result"].enum_types_by_name["StopReason"]: "LANDING CONFLICTING_LOCATION APP_LINK",
    GATEWAY.enum_types_by_name["Mode"]: "BEACON REDIRECT_ONLY",
    GATEWAY.enum_types_by_name["MergePolicy"]: "INBOUND_WINS TRACED_WINS APPEND",
    GATEWAY.enum_types_by_name["FallbackPolicy"]: "LAST_LANDING",
    GATEWAY.enum_types_by_name["ClickStatus"]: "ABANDONED",
}


@pytest.mark.parametrize("service", RPCS, ids=lambda service: service.full_name)
def test_the_rpcs_are_those_of_the_design(service: ServiceDescriptor) -> None:
    assert [method.name for method in service.methods] == RPCS[service].split()
    for method in service.methods:
        assert method.server_streaming == (method.name in {"Trace", "WatchPool", "WatchClicks"})
        assert not method.client_streaming


@pytest.mark.parametrize("message", FIELDS, ids=lambda message: message.full_name)
def test_the_fields_are_those_of_the_design(message: Descriptor) -> None:
    assert set(FIELDS[message].split()) <= set(message.fields_by_name)


@pytest.mark.parametrize("enum", VALUES, ids=lambda enum: enum.full_name)
def test_the_values_are_those_of_the_design(enum: EnumDescriptor) -> None:
    assert set(VALUES[enum].split()) <= set(enum.values_by_name)
    assert enum.values_by_number[0].name.endswith("_UNSPECIFIED")
