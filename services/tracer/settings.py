"""The settings of the tracer, from `TRACER_*` variables."""

from pathlib import Path
from ssl import get_default_verify_paths

from libs.common.process.settings import (
    Address,
    CommaList,
    Field,
    Networks,
    Seconds,
    ServerSettings,
    SettingsConfigDict,
)


class TracerSettings(ServerSettings):
    """What an operator may choose for the tracer."""

    model_config = SettingsConfigDict(env_prefix="TRACER_", frozen=True, extra="ignore", env_ignore_empty=True)

    listen: Address = Address("127.0.0.1", 50052)
    """Address of the gRPC server."""
    admin_listen: Address | None = None
    """Address where reflection is served instead, apart from the address that gateways use."""
    gateway_identities: CommaList = ("gateway",)
    """Names (DNS or URI) in the certificates of gateways; with TLS only these callers may start walks."""
    metrics_listen: Address | None = None
    """Address where Prometheus reads the metrics over HTTP; not served if unset."""
    reflection: bool = True
    """Whether gRPC reflection is served, for tools such as grpcurl."""
    max_traces: int = Field(1000, ge=1, le=100_000)
    """Walks that may be under way at once, 1 to 100000; more are answered with TRACER_BUSY."""
    allow_direct: bool = False
    """Whether walks without a proxy are allowed; they use the address of this machine."""
    allowed_networks: Networks = ()
    """Networks that may be reached although they are not public; for tests and demonstrations."""
    allowed_hosts: CommaList = ()
    """Names that may be reached although they are not public: `name`, `.suffix` or `*`; for tests and demos."""
    own_hosts: CommaList = ()
    """Public names of our own click endpoint; a chain that leads back there ends instead of starting another trace."""
    app_schemes: CommaList = ()
    """Schemes that open an app, in addition to the built-in list."""
    user_agent: str = Field("Mozilla/5.0 (compatible; Clicktrace/0.1; redirect tracer)", pattern=r"^[\x20-\x7e]+$")
    """User-Agent of walks whose request names none."""
    span_queries: bool = False
    """Whether spans show the queries of URLs, which identify visitors; for investigating a failure."""
    lease_margin: Seconds = 0.5
    """Seconds before the end of its lease at which a walk stops using the proxy."""
    grace: Seconds = 65.0
    """Seconds that walks may continue after SIGTERM; the rest end with a CANCELLED result."""
    drain_delay: Seconds = 0.0
    """Seconds after SIGTERM in which calls are still accepted while the health check already reports NOT_SERVING."""
    ca_file: Path | None = None
    """PEM file with the trusted certificates; the system's if unset."""

    def trusted_file(self) -> str:
        """Returns the path of the trusted certificates; empty if the system keeps none in one file."""
        return str(self.ca_file or get_default_verify_paths().cafile or "")
