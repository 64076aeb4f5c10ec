"""Metrics for Prometheus: what every service shares of them, and the port they are read from.

A service keeps its own in its `metrics` module. Prometheus' own format and OpenMetrics are both spoken; the latter
brings exemplars, so that a slow bucket on a dashboard leads to a trace of it.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from opentelemetry import trace
from prometheus_client import REGISTRY, Counter, Gauge, Histogram, disable_created_metrics, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from libs.common.process import logs
from libs.common.process.values import Address

log = logs.get(__name__)

# They would double the number of series, and nobody asks for them.
disable_created_metrics()  # type: ignore[no-untyped-call]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 5.0, 10.0, 20.0, 40.0, 60.0)
"""Histogram buckets in seconds, from what Clicktrace adds to a chain to the longest trace."""
COUNTS = (1, 2, 3, 5, 8, 12, 20, 50, 100, 250)
"""Histogram buckets for counts."""
OTHER = "OTHER"
"""Label value of the child that counts what a full family has no room for."""

Family = TypeVar("Family", bound=MetricWrapperBase)


_JOB_FAILURES = Counter(
    "clicktrace_job_failures", "Times that a background job raised and was started again.", ["background_job"]
)


def job_started(job: str) -> None:
    """Shows a background job that has not raised yet, so that its first failure is an increase."""
    _JOB_FAILURES.labels(job)


def job_failed(job: str) -> None:
    """Counts a background job that raised."""
    _JOB_FAILURES.labels(job).inc()


class Bounded(Generic[Family]):
    """A family of metrics with a limited number of children; what exceeds it is counted as OTHER.

    Labels come from what operators configured, but a mistake there, or a neighbour gone mad, must not fill the memory
    of this process and of Prometheus either. Children are kept at hand, because `labels` of the library
    costs more than to count.
    """

    def __init__(self, family: Family, most: int = 500) -> None:
        """Takes up to `most` different sets of label values."""
        self._family = family
        self._most = most
        self._children: dict[tuple[str, ...], Family] = {}

    def of(self, *values: str) -> Family:
        """Returns the child of these label values."""
        child = self._children.get(values)
        if child is None:
            if len(self._children) >= self._most:
                return self._family.labels(*(OTHER for _ in values))
            child = self._children[values] = self._family.labels(*values)
        return child


class BoundedGauges(Bounded[Gauge]):
    """A family of gauges that is replaced as a whole."""

    def replace(self, now: Iterable[tuple[Sequence[str], float]]) -> None:
        """Sets every gauge of the family; removes children that are not named any more."""
        values = {tuple(labels): value for labels, value in now}
        for key in self._children.keys() - values.keys():
            self._family.remove(*key)
            del self._children[key]
        # Those for which there is no room share one child, which shows their sum.
        shared: dict[Gauge, float] = {}
        for key, value in values.items():
            child = self.of(*key)
            if key in self._children:
                child.set(value)
            else:
                shared[child] = shared.get(child, 0.0) + value
        for child, total in shared.items():
            child.set(total)
        if values and not shared:
            self._family.remove(*(OTHER for _ in next(iter(values))))


def exemplar() -> dict[str, str] | None:
    """Returns the exemplar labels of the current trace; None if it is not sampled."""
    context = trace.get_current_span().get_span_context()
    return {"trace_id": trace.format_trace_id(context.trace_id)} if context.trace_flags.sampled else None


class HasDepth(Protocol):
    """A queue whose length can be read."""

    @property
    def depth(self) -> int:
        """Number of waiting items."""
        ...


class _Queues(Collector):
    """Reads how much waits in each queue when it is asked, so that nothing is counted on the way of a click."""

    def __init__(self) -> None:
        self._queues: list[tuple[str, HasDepth]] = []
        self._lock = threading.Lock()

    def add(self, name: str, queue: HasDepth) -> None:
        with self._lock:
            self._queues.append((name, queue))

    def remove(self, queue: HasDepth) -> None:
        with self._lock:
            self._queues = [(name, known) for name, known in self._queues if known is not queue]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily("clicktrace_queue_depth", "How many wait for the next group.", labels=["queue"])
        with self._lock:
            queues = tuple(self._queues)
        depths: dict[str, int] = {}
        for name, queue in queues:
            depths[name] = depths.get(name, 0) + queue.depth
        for name, depth in depths.items():
            family.add_metric([name], depth)
        yield family


_queues = _Queues()
REGISTRY.register(_queues)
_GROUP_SIZE = Bounded(
    Histogram(
        "clicktrace_group_size", "How many items went into one statement or call together.", ["group"], buckets=COUNTS
    )
)


class Group:
    """The metrics of one queue whose items travel in groups."""

    def __init__(self, name: str, queue: HasDepth) -> None:
        """Names a queue, whose depth is reported between `open` and `close`."""
        self._name = name
        self._queue = queue
        self._sizes = _GROUP_SIZE.of(name)

    def open(self) -> None:
        """Starts to report the depth."""
        _queues.add(self._name, self._queue)

    def close(self) -> None:
        """Stops reporting the depth."""
        _queues.remove(self._queue)

    def ran(self, size: int) -> None:
        """Records a group that has run."""
        self._sizes.observe(size)


def page(accept: str) -> tuple[bytes, str]:
    """Returns all metrics in the form that an Accept header asks for, and the content type of that."""
    encode, content_type = choose_encoder(accept)
    return encode(REGISTRY), content_type


@contextmanager
def exposing(address: Address | None) -> Iterator[None]:
    """Serves the metrics over HTTP for as long as it is entered; does nothing without an address.

    Raises OSError when the address cannot be bound.
    """
    if address is None:
        yield
        return
    server, thread = start_http_server(address.port, address.host)
    log.info("metrics.listening", address=f"{address.host}:{server.server_port}")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
