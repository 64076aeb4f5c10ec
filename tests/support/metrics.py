"""Every metric that the code has, as Prometheus sees them."""

from dataclasses import dataclass

from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from libs.common.observability import telemetry
from libs.common.observability.metrics import page
from services.gateway import metrics as gateway
from services.pool_manager import metrics as pool_manager
from services.tracer import metrics as tracer

# That they are imported is what registers them.
SOURCES = (telemetry, page, gateway, pool_manager, tracer)


@dataclass(frozen=True, slots=True, order=True)
class Metric:
    """One family."""

    name: str
    """As in a query; that of a histogram without _bucket, _count and _sum."""
    kind: str
    labels: tuple[str, ...]
    meaning: str

    @property
    def series(self) -> tuple[str, ...]:
        """The names that queries may use."""
        return (
            tuple(f"{self.name}_{part}" for part in ("bucket", "count", "sum"))
            if self.kind == "histogram"
            else (self.name,)
        )


def known() -> list[Metric]:
    """Returns all families of ours."""
    families = [
        Metric(
            f"{collector._name}_total" if collector._type == "counter" else collector._name,
            str(collector._type),
            tuple(collector._labelnames),
            collector._documentation,
        )
        for collector in list(REGISTRY._collector_to_names)
        if isinstance(collector, MetricWrapperBase) and collector._name.startswith("clicktrace_")
    ]
    # This one is not counted but looked up.
    return sorted(
        [*families, Metric("clicktrace_queue_depth", "gauge", ("queue",), "How many wait for the next group.")]
    )
