"""What a run consists of, as data: each process with its settings and how it is known to be ready."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.run.options import Options
from local.run.readiness import GrpcHealth, HttpOk
from local.run.supervisor import Process

HOST = "127.0.0.1"
OPERATOR = "operator"
IDENTITIES = ("gateway", "pool-manager", "tracer", OPERATOR)
"""The names in certificates, as the settings of the services have them by default."""

MODULES = (
    "services.gateway.main",
    "services.gateway.migrate",
    "services.pool_manager.main",
    "services.pool_manager.migrate",
    "services.tracer.main",
    "local.demo.world",
)
"""What the processes of a run consist of, to be loaded once for all of them."""


@dataclass(frozen=True)
class Places:
    """Where a run keeps what it keeps."""

    state: Path

    @property
    def credentials(self) -> Path:
        """The secret files of proxy providers."""
        return self.state / "credentials"

    @property
    def certificates(self) -> Path:
        """A directory for each identity, where the services speak mutual TLS."""
        return self.state / "tls"

    @property
    def logs(self) -> Path:
        """What each process said, since its last start and the one before."""
        return self.state / "logs"

    @property
    def postgres(self) -> Path:
        """The embedded PostgreSQL."""
        return self.state / "postgres"

    @property
    def database_url(self) -> Path:
        """How to connect to the database; secret."""
        return self.state / "database-url"

    @property
    def proxy_count(self) -> Path:
        """The most demo proxies that any run has put into the pool."""
        return self.state / "proxies"


def tracer(options: Options, places: Places) -> Process:
    """The tracer, allowed to reach the demo network."""
    address = f"{HOST}:{options.tracer_port}"
    return _service(
        options,
        "tracer",
        {
            "TRACER_LISTEN": address,
            "TRACER_METRICS_LISTEN": f"{HOST}:{options.tracer_metrics_port}",
            "TRACER_ALLOWED_NETWORKS": "127.0.0.0/8",
            "TRACER_ALLOWED_HOSTS": ".localhost",
            "TRACER_GRACE": "2s",
            **_certificate(options, places, "TRACER", "tracer"),
        },
        GrpcHealth(address, operator_certificate(options, places)),
    )


def pool_manager(options: Options, places: Places, database_url: str) -> Process:
    """The pool manager, with the credentials of the demo proxies."""
    address = f"{HOST}:{options.pool_port}"
    return _service(
        options,
        "pool_manager",
        {
            "POOL_LISTEN": address,
            "POOL_METRICS_LISTEN": f"{HOST}:{options.pool_metrics_port}",
            "POOL_COOLDOWN": f"{options.cooldown}s",
            "POOL_CREDENTIALS_DIR": str(places.credentials),
            "POOL_GRACE": "2s",
            "DATABASE_URL": database_url,
            **_certificate(options, places, "POOL", "pool-manager"),
        },
        GrpcHealth(address, operator_certificate(options, places)),
    )


def gateway(options: Options, places: Places, database_url: str) -> Process:
    """The gateway, in front of the other two."""
    internal = f"{HOST}:{options.internal_port}"
    return _service(
        options,
        "gateway",
        {
            "GATEWAY_LISTEN": f"{HOST}:{options.http_port}",
            "GATEWAY_INTERNAL_LISTEN": internal,
            "GATEWAY_GRPC_LISTEN": f"{HOST}:{options.grpc_port}",
            "GATEWAY_POOL_TARGET": f"dns:///{HOST}:{options.pool_port}",
            "GATEWAY_TRACER_TARGET": f"dns:///{HOST}:{options.tracer_port}",
            "GATEWAY_CLICK_URL": f"http://{HOST}:{options.http_port}",
            "GATEWAY_MAX_WAIT": f"{options.max_wait}s",
            # Ctrl-C is not to wait for a chain that is slow on purpose.
            "GATEWAY_GRACE": "2s",
            "DATABASE_URL": database_url,
            **_certificate(options, places, "GATEWAY", "gateway"),
        },
        HttpOk(internal, "/readyz"),
    )


def migration(options: Options, service: str, database_url: str) -> Process:
    """Brings the schema of a service up to date."""
    return Process(
        f"{service} migrate",
        ("-m", f"services.{service}", "migrate"),
        {**options.environment, "LOG_FORMAT": "json", "DATABASE_URL": database_url},
    )


def demo(options: Options, secret: Path, proxies: int) -> Process:
    """The demo proxies and the offer network."""
    arguments = {
        "--credentials": secret,
        "--proxies": proxies,
        "--proxy-port": options.proxy_port,
        "--port": options.demo_port,
        "--slow-hop": options.slow_hop,
    }
    return Process(
        "demo",
        ("-m", "local.demo.world", *(f"{name}={value}" for name, value in arguments.items())),
        options.environment,
        HttpOk(f"{HOST}:{options.demo_port}", "/"),
    )


def operator_certificate(options: Options, places: Places) -> Path | None:
    """Returns the directory of what operators show; None where nobody shows anything."""
    return places.certificates / OPERATOR if options.tls else None


def _certificate(options: Options, places: Places, prefix: str, identity: str) -> Mapping[str, str]:
    return {f"{prefix}_TLS_DIR": str(places.certificates / identity)} if options.tls else {}


def _service(options: Options, name: str, settings: Mapping[str, str], ready: GrpcHealth | HttpOk) -> Process:
    environment = {**options.environment, "LOG_FORMAT": "json", **settings}
    return Process(name, ("-m", f"services.{name}"), environment, ready)
