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
    """Everything an operator may choose."""

    model_config = SettingsConfigDict(env_prefix="TRACER_", frozen=True, extra="ignore", env_ignore_empty=True)

    listen: Address = Address("127.0.0.1", 50052)
    """Where gRPC is served."""
    admin_listen: Address | None = None
    """Where reflection is served instead, away from what gateways use."""
    gateway_identities: CommaList = ("gateway",)
    """The names (DNS or URI) in certificates of gateways: only they may have chains walked."""
    metrics_listen: Address | None = None
    """Where Prometheus finds the metrics over HTTP; nowhere if not set."""
    reflection: bool = True
    """Whether the server describes itself to tools such as grpcurl."""
    max_traces: int = Field(1000, ge=1, le=100_000)
    """The walks that may be under way at once; more are answered with TRACER_BUSY."""
    allow_direct: bool = False
    """Whether walks without a proxy are allowed; they leave from the address of this machine."""
    allowed_networks: Networks = ()
    """Networks that may be reached although they are not of the public internet; for tests and demonstrations."""
    allowed_hosts: CommaList = ()
    """Names that may be reached although they are local: `name`, `.suffix` or `*`; for tests and demonstrations."""
    own_hosts: CommaList = ()
    """The public names of our own click endpoint; a chain that leads back there ends instead of starting a trace."""
    app_schemes: CommaList = ()
    """Schemes that open an app, on top of those that are known."""
    user_agent: str = Field("Mozilla/5.0 (compatible; Clicktrace/0.1; redirect tracer)", pattern=r"^[\x20-\x7e]+$")
    """What a walk says of itself if its request says nothing."""
    span_queries: bool = False
    """Whether spans show the queries of URLs, which tell one visitor from another; for tracking down a fault."""
    lease_margin: Seconds = 0.5
    """How long before the end of its lease a walk leaves the proxy."""
    grace: Seconds = 65.0
    """How long walks may go on after SIGTERM; what is left then ends with a CANCELLED result."""
    drain_delay: Seconds = 0.0
    """How long the server still takes calls after SIGTERM, while its health already turns clients away."""
    ca_file: Path | None = None
    """The certificates that are trusted, in one PEM file; those of the system if not set."""

    def trusted_file(self) -> str:
        """Returns the bundle to trust, empty if this machine has none in one file."""
        return str(self.ca_file or get_default_verify_paths().cafile or "")
