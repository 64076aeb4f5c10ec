"""The table of addresses that a run ends its start with."""

from collections.abc import Iterator
from pathlib import Path

from local.run.options import ROOT, Options
from local.run.plan import HOST, Places, operator_certificate

_EXAMPLE = "gclid=abc123"


def addresses(options: Options, places: Places, *, embedded: bool) -> Iterator[tuple[str, str]]:
    """Yields rows of a name and what belongs to it."""
    click = f"http://{HOST}:{options.http_port}/track-hit"
    slow = options.slow_hop * 3
    yield "click", f"curl -i '{click}?offer=demo&{_EXAMPLE}'"
    yield (
        "",
        f"curl -i '{click}?offer=demo-slow&{_EXAMPLE}'     a chain of {slow:g} s; visitors wait {options.max_wait:g} s",
    )
    yield "", f"curl -i '{click}?offer=demo-broken&{_EXAMPLE}'   a chain that breaks midway"
    internal = f"http://{HOST}:{options.internal_port}"
    yield "console", f"{internal}/console"
    yield "internal", f"{internal}/healthz  {internal}/readyz"
    servers = {"pool_manager": options.pool_port, "tracer": options.tracer_port, "gateway": options.grpc_port}
    yield "gRPC", "  ".join(f"{name} {HOST}:{port}" for name, port in servers.items())
    metrics = (options.internal_port, options.pool_metrics_port, options.tracer_metrics_port)
    yield "metrics", "  ".join(f"http://{HOST}:{port}/metrics" for port in metrics)
    shown = "-plaintext"
    if certificate := operator_certificate(options, places):
        directory = _short(certificate)
        shown = f"-cacert {directory}/ca.crt -cert {directory}/tls.crt -key {directory}/tls.key"
    yield "operator", f"grpcurl {shown} {HOST}:{options.pool_port} clicktrace.pool.v1.PoolAdmin/GetPoolStatus"
    yield "demo network", f"http://{HOST}:{options.demo_port}/"
    if embedded:
        yield "database", f'psql "$(cat {_short(places.database_url)})"'
    yield "logs", f"{_short(places.logs)}/"
    yield "", ""
    yield "Ctrl-C", "stops everything"


def _short(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
