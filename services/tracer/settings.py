"""The settings of the tracer, from `TRACER_*` variables."""

from pathlib import Path
from ssl import get_default_verify_paths
from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from libs.common.process.settings import ServerSettings
from libs.common.process.values import Address, CommaList, Networks, Seconds, Unit, Written
from libs.common.version import USER_AGENT


class TracerSettings(ServerSettings):
    """What an operator may choose for the tracer."""

    model_config = SettingsConfigDict(env_prefix="TRACER_")

    listen: Address = Address("127.0.0.1", 50052)
    """Address of the gRPC server."""
    admin_listen: Address | None = None
    """Address where reflection is served instead, apart from the address that gateways use."""
    gateway_identities: CommaList = Field(("gateway",), min_length=1)
    """Names (DNS or URI) in the certificates of gateways; with TLS only these callers may start walks."""
    metrics_listen: Address | None = None
    """Address where Prometheus reads the metrics over HTTP; not served if unset."""
    reflection: bool = True
    """Whether gRPC reflection is served, for tools such as grpcurl."""
    max_traces: Annotated[int, Unit("walks")] = Field(1000, ge=1, le=100_000)
    """Walks that may be under way at once; more are answered with TRACER_BUSY."""
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
    user_agent: Annotated[str, Written("printable ASCII")] = Field(USER_AGENT, pattern=r"^[\x20-\x7e]+$")
    """User-Agent of walks whose request names none."""
    span_queries: bool = False
    """Whether spans show the queries of URLs, which identify visitors; for investigating a failure."""
    lease_margin: Seconds = Field(0.5, ge=0, le=60)
    """Time before the end of its lease at which a walk stops using the proxy."""
    grace: Seconds = Field(65.0, ge=0, le=3600)
    """Time for which walks may continue after SIGTERM; the rest end with a CANCELLED result."""
    drain_delay: Seconds = Field(0.0, ge=0, le=600)
    """Time after SIGTERM in which calls are still accepted while the health check already reports NOT_SERVING."""
    ca_file: Path | None = None
    """PEM file with the trusted certificates; the system's if unset."""

    def trusted_file(self) -> str:
        """Returns the path of the trusted certificates; empty if the system keeps none in one file."""
        return str(self.ca_file or get_default_verify_paths().cafile or "")
