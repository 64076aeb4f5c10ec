"""The metrics of the gateway for Prometheus. Names, meaning and labels are in docs/metrics.md.

Only offers that exist get here, so strangers cannot create a series; each family is bounded as well.
"""

from collections.abc import Callable, Mapping

from prometheus_client import Counter, Gauge, Histogram

from libs.common.observability.metrics import SECONDS, Bounded, BoundedGauges, exemplar
from services.gateway.clicks.record import Answered
from services.gateway.clicks.trace import Trace
from services.gateway.drift.shape import DriftKind
from services.gateway.model import Answer
from services.gateway.urls import judging
from services.gateway.urls.parameters import SplitUrl, parse

_CLICKS = Bounded(
    Counter("clicktrace_gateway_clicks", "Clicks that were answered, by offer and kind of answer.", ["offer", "answer"])
)
_FALLBACKS = Bounded(
    Counter(
        "clicktrace_gateway_fallbacks", "Clicks that were answered with the fallback, and why.", ["offer", "reason"]
    ),
    most=2_000,
)
_VISITOR_TIME = Histogram(
    "clicktrace_gateway_visitor_seconds", "How long visitors waited for their answer.", ["answer"], buckets=SECONDS
)
_VISITOR_TIMES = {answer: _VISITOR_TIME.labels(answer) for answer in Answer}
_ADDED_TIME = Histogram(
    "clicktrace_gateway_added_seconds",
    "How much longer visitors waited for a landing than its chain took: waiting for an IP, failed IPs, ourselves.",
    buckets=SECONDS,
)
_LEASE_WAIT = Histogram("clicktrace_gateway_lease_wait_seconds", "How long clicks waited for an IP.", buckets=SECONDS)
_TRACE_TIME = Bounded(
    Histogram(
        "clicktrace_gateway_trace_seconds",
        "How long traces took, from the click to the end of the chain.",
        ["offer"],
        buckets=SECONDS,
    ),
    most=200,
)
_TRACES = Bounded(
    Counter(
        "clicktrace_gateway_traces",
        "Traces that ended, by offer and how: LANDED, LANDING_BLOCKED, or why the visitor could not be sent there.",
        ["offer", "result"],
    ),
    most=2_000,
)
_LOST_PARAMETERS = Bounded(
    Counter(
        "clicktrace_gateway_parameters_lost",
        "Parameters that a trace found after its visitor had been sent to the fallback without them.",
        ["offer"],
    )
)
_LEFT = Bounded(
    Counter("clicktrace_gateway_visitors_left", "Visitors who went away before there was an answer.", ["offer"])
)
_JOINED = Counter("clicktrace_gateway_joined", "Clicks that shared the trace of the same click.")
_REFUSED = Bounded(
    Counter("clicktrace_gateway_refused", "Requests for no offer that could be served, by reason.", ["reason"]), most=20
)
_WEBHOOKS = Bounded(
    Counter(
        "clicktrace_gateway_webhooks",
        "Late results sent to webhooks: DELIVERED, FAILED (tried again later) or DEAD (given up).",
        ["offer", "result"],
    ),
    most=1_000,
)
_RECORDS_DROPPED = Counter("clicktrace_gateway_records_dropped", "Click records that could not be kept or written.")
_WAITING = Gauge("clicktrace_gateway_visitors_waiting", "Visitors that wait for their answer.")
_RUNNING = Gauge("clicktrace_gateway_traces_running", "Traces under way, with those that nobody waits for any more.")
_UNREADABLE = Gauge(
    "clicktrace_gateway_offers_unreadable",
    "Offers that this gateway cannot read as they are stored: a newer build or a person wrote them.",
)
_MAINTAINED = Gauge(
    "clicktrace_gateway_maintenance_timestamp_seconds", "When old clicks were last cleared away; at first the start."
)


_DRIFTED = Bounded(
    Counter(
        "clicktrace_gateway_drifted_chains",
        "Chains that differed from those that are usual for their offer, and in what.",
        ["offer", "kind"],
    ),
    most=1_000,
)
_DRIFTS = BoundedGauges(
    Gauge(
        "clicktrace_gateway_offer_drifts",
        "In how many ways the chain of an offer differs now from what is usual, as all gateways found it.",
        ["offer", "kind"],
    ),
    most=1_000,
)


class ClickMetrics:
    """Counts click events."""

    def answered(self, trace: Trace, answered: Answered) -> None:
        """Counts an answered click."""
        offer, example, answer = trace.offer.name, exemplar(), answered.answer
        _CLICKS.of(offer, answer).inc(1, example)
        _VISITOR_TIMES[answer].observe(answered.wait, example)
        if answer is Answer.FALLBACK:
            _FALLBACKS.of(offer, answered.reason).inc(1, example)
        if trace.is_joined:
            _JOINED.inc()
        elif answer is Answer.LANDING:
            last = len(trace.attempts)
            chain = sum(hop.total or 0.0 for hop in trace.walk.hops if hop.attempt == last)
            _ADDED_TIME.observe(max(0.0, answered.wait - chain), example)

    def left(self, trace: Trace) -> None:
        """Counts a visitor who disconnected before there was an answer."""
        _LEFT.of(trace.offer.name).inc()

    def ended(self, trace: Trace, answered: Answered | None, seconds: float) -> None:
        """Counts a trace that ended `seconds` after its click."""
        if trace.is_joined:
            return
        offer, example = trace.offer.name, exemplar()
        _TRACES.of(offer, trace.failure or _landed(trace)).inc(1, example)
        _TRACE_TIME.of(offer).observe(seconds, example)
        for attempt in trace.attempts:
            _LEASE_WAIT.observe(attempt.lease_wait, example)
        fell_back = answered is not None and answered.answer is Answer.FALLBACK
        if fell_back and trace.result is not None and not trace.failure:
            inbound = {parameter.name for parameter in trace.click.inbound}
            found = {parameter.name for parameter in parse(SplitUrl.of(trace.result.final_url).query or "")}
            _LOST_PARAMETERS.of(offer).inc(len(found - inbound))


def _landed(trace: Trace) -> str:
    """Returns how a trace landed: on a page, or on one that keeps robots out."""
    return judging.BLOCKED if judging.is_blocked(trace.result) else "LANDED"


class DriftMetrics:
    """Counts and shows drift."""

    def drifted(self, offer: str, kind: DriftKind, chains: int) -> None:
        """Counts chains that differed from what is usual."""
        _DRIFTED.of(offer, kind).inc(chains)

    def drifting(self, drifts: Mapping[tuple[str, DriftKind], int]) -> None:
        """Shows how many drifts of each kind every offer has now."""
        _DRIFTS.replace(((offer, kind), count) for (offer, kind), count in drifts.items())


def refused(reason: str) -> None:
    """Counts a refused request: no click on an offer."""
    _REFUSED.of(reason).inc()


def posted(offer: str, result: str) -> None:
    """Counts an attempt to deliver a late result; `result` is DELIVERED, FAILED or DEAD."""
    _WEBHOOKS.of(offer, result).inc()


def records_dropped(count: int) -> None:
    """Counts clicks whose record was lost."""
    _RECORDS_DROPPED.inc(count)


def maintained() -> None:
    """Sets the time of the last maintenance of the click log to now."""
    _MAINTAINED.set_to_current_time()


def watch(*, waiting: Callable[[], int], running: Callable[[], int], unreadable: Callable[[], int]) -> None:
    """Registers gauges that are read at each scrape; sets the time of the last maintenance to now."""
    _WAITING.set_function(waiting)
    _RUNNING.set_function(running)
    _UNREADABLE.set_function(unreadable)
    maintained()
