"""The one way to open a channel to a service."""

import json

from grpc import aio

from libs.common.rpc import tls
from libs.common.rpc.renewal import RenewedChannel
from libs.common.rpc.tracing import TracedChannel

_SERVICE_CONFIG = json.dumps(
    {
        # One connection to each replica, and calls spread over them.
        "loadBalancingConfig": [{"round_robin": {}}],
        # A draining replica says so through its health service, and gets no new calls within 0.1 s (measured).
        "healthCheckConfig": {"serviceName": ""},
    }
)

_OPTIONS = (
    ("grpc.service_config", _SERVICE_CONFIG),
    # Without this a channel learns of new replicas after 30 s, with it within 5 s (measured).
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Finds a dead peer that sent no FIN; servers allow a ping every 10 s.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    # Errors with their details are metadata, and a thousand bad rows are more than the default of 8 KiB.
    ("grpc.max_metadata_size", 1024 * 1024),
)


def channel(
    target: str, *, default_timeout: float = 10.0, files: tls.Files | None = None, identity: str = ""
) -> aio.Channel:
    """Opens a channel to `target`, for example `dns:///pool-manager:50051`.

    Calls are spread over all replicas that are healthy, traced, and end after `default_timeout` seconds if they name no
    deadline of their own; a stream names its own. Nothing is connected before the first call.

    With `files` both sides show certificates, and the server's must bear the DNS name `identity` (if that is empty, the
    name in the target). Files that change are used for new calls within a second; calls that run finish as they are.
    """
    if files is None:
        return TracedChannel(aio.insecure_channel(target, options=_OPTIONS), target, default_timeout=default_timeout)
    named = (("grpc.ssl_target_name_override", identity),) if identity else ()

    def secured(material: tls.Material) -> aio.Channel:
        credentials = tls.channel_credentials(material)
        opened = aio.secure_channel(target, credentials, options=(*_OPTIONS, *named))
        return TracedChannel(opened, target, default_timeout=default_timeout)

    return RenewedChannel(files, secured)
