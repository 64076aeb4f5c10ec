"""Records walks for operators: one span per hop, one log line per hop and per walk, and the metrics.

No fragment and no credential is ever shown; query values only in spans, and only if a setting allows it.
"""

import logging
import time

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from prometheus_client import Counter, Gauge, Histogram

from libs.common.observability.metrics import COUNTS, SECONDS, Bounded, exemplar
from libs.common.process import logs
from services.tracer.follow import urls
from services.tracer.model.report import Hop, Result
from services.tracer.model.request import Proxy, TraceRequest

log = logs.get(__name__)
_tracer = trace.get_tracer(__name__)

IN_FLIGHT = Gauge("clicktrace_tracer_traces_in_flight", "Walks that are under way; what the autoscaler reads.")
BEGUN = Counter("clicktrace_tracer_traces", "Walks that were begun; one that is turned away is not.")
BUSY = Counter("clicktrace_tracer_busy", "Calls that were turned away because too many walks were under way.")
_HOP_TIME = Histogram("clicktrace_tracer_hop_seconds", "How long hops took.", buckets=SECONDS)
_TRACE_TIME = Histogram("clicktrace_tracer_trace_seconds", "How long walks took.", buckets=SECONDS)
_HOPS = Histogram("clicktrace_tracer_trace_hops", "How many hops walks had.", buckets=(0, *COUNTS))
_STOPS = Bounded(Counter("clicktrace_tracer_stops", "Why walks ended, and who is to blame.", ["stop_reason", "blame"]))
_BYTES = Bounded(Counter("clicktrace_tracer_bytes", "Bytes that went through proxies, both ways.", ["provider"]))
_PROXY_WALKS = Bounded(
    Counter(
        "clicktrace_tracer_proxy_walks",
        "Walks through proxies, by provider, country of the exit, and who is to blame that they broke (NONE: nobody).",
        ["provider", "country", "blame"],
    ),
    most=2_000,
)
_PROXY_TIME = Bounded(
    Histogram(
        "clicktrace_tracer_proxy_seconds",
        "How long it took, in the first hop of a walk, until the connection to the proxy stood.",
        ["provider"],
        buckets=SECONDS,
    ),
    most=100,
)


class Observer:
    """Records one walk, inside the span of its call; what is the same for all of its hops is looked up once."""

    def __init__(self, request: TraceRequest, *, span_queries: bool = False) -> None:
        """Records a walk; spans show the queries of URLs only if `span_queries`."""
        self._request = request
        self._span_queries = span_queries
        self._span = trace.get_current_span()
        self._recording = self._span.is_recording()
        self._logging_hops = log.is_enabled_for(logging.DEBUG)
        self._example = exemplar()

    def hop(self, hop: Hop) -> None:
        """Records a hop that has just ended."""
        proxy = self._request.proxy
        _HOP_TIME.observe(hop.timing.total, self._example)
        if hop.number == 0 and proxy is not None and hop.timing.connect is not None:
            _PROXY_TIME.of(proxy.provider).observe(hop.timing.connect)
        if not self._recording and not self._logging_hops:
            return
        url = urls.parse(hop.url)
        if url is None:
            return
        if self._logging_hops:
            log.debug(
                "trace.hop",
                click_id=self._request.trace_id,
                index=hop.number,
                host=url.host,
                status=hop.status,
                kind=hop.kind.name if hop.kind else None,
                error=hop.error or None,
                seconds=round(hop.timing.total, 4),
            )
        if self._recording:
            shown = url.without_fragment if self._span_queries else url.without_query
            _record_span(url, shown, hop, proxy)

    def result(self, result: Result) -> None:
        """Records the end of the walk."""
        failure, proxy = result.failure, self._request.proxy
        blame = failure.blame.name if failure else "NONE"
        _TRACE_TIME.observe(result.total_time, self._example)
        _HOPS.observe(result.hops)
        _STOPS.of(result.stop_reason.name, blame).inc(1, self._example)
        if proxy is not None:
            _BYTES.of(proxy.provider).inc(result.bytes)
            _PROXY_WALKS.of(proxy.provider, proxy.country, blame).inc(1, self._example)
        log.info(
            "trace.ended",
            click_id=self._request.trace_id,
            stop=result.stop_reason.name,
            hops=result.hops,
            host=result.host,
            reason=failure.reason if failure else None,
            blame=failure.blame.name if failure else None,
            seconds=round(result.total_time, 3),
            bytes=result.bytes,
        )
        if self._recording:
            self._span.set_attribute("clicktrace.stop_reason", result.stop_reason.name)
            self._span.set_attribute("clicktrace.hops", result.hops)
            if failure is not None:
                self._span.set_attribute("clicktrace.failure.reason", failure.reason)
                self._span.set_attribute("clicktrace.failure.blame", failure.blame.name)
                self._span.set_attribute("clicktrace.target_reached", result.target_reached)


def _record_span(url: urls.Url, shown: str, hop: Hop, proxy: Proxy | None) -> None:
    """Records the span of a hop after the fact, by OpenTelemetry's stable HTTP conventions, below the call's span."""
    end = time.time_ns()
    span = _tracer.start_span("GET", kind=SpanKind.CLIENT, start_time=end - int(hop.timing.total * 1e9))
    span.set_attributes(
        {
            "http.request.method": "GET",
            "url.full": shown,
            "url.scheme": url.scheme,
            "server.address": url.host,
            "server.port": url.port,
            "clicktrace.hop.index": hop.number,
        }
    )
    optional: dict[str, str | int] = {
        "http.request.resend_count": hop.number,
        "http.response.status_code": hop.status,
        "network.protocol.version": hop.http_version,
        "tls.protocol.version": hop.tls_version.removeprefix("TLSv"),
        "network.peer.address": hop.remote_address.rpartition(":")[0],
        "clicktrace.hop.kind": hop.kind.name if hop.kind else "",
        "clicktrace.proxy.provider": proxy.provider if proxy else "",
        "clicktrace.proxy.country": proxy.country if proxy else "",
    }
    span.set_attributes({name: value for name, value in optional.items() if value})
    if hop.error or hop.status >= 400:
        span.set_attribute("error.type", hop.error or str(hop.status))
        span.set_status(Status(StatusCode.ERROR))
    span.end(end)
