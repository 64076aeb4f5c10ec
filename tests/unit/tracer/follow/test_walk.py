"""The result of a walk comes exactly once and last, even when the tracer itself is broken."""

from collections.abc import Iterator
from contextlib import contextmanager

from libs.common.target_policy.policy import TargetPolicy
from services.tracer.follow.urls import Url
from services.tracer.follow.walk import Plan, Settings, Walk
from services.tracer.model.exchange import Exchange
from services.tracer.model.report import Failure, Hop, Result, StopReason, Timing
from services.tracer.model.request import Policy, Proxy, TraceRequest


class BrokenAtTheSecond:
    """Redirects once, and fails as only a bug does when it is asked again."""

    def __init__(self) -> None:
        self.asked = 0
        self.closed = 0

    @contextmanager
    def session(self, _proxy: Proxy | None, _policy: Policy, _until: float | None) -> Iterator["BrokenAtTheSecond"]:
        try:
            yield self
        finally:
            self.closed += 1

    async def fetch(self, url: Url, *, referrer: str, timeout: float, body_limit: int, plan: Plan) -> Exchange:
        del url, referrer, timeout, body_limit, plan
        self.asked += 1
        if self.asked == 2:
            raise RuntimeError("a bug")
        return Exchange(
            status=302,
            headers={b"location": [b"/next"]},
            body=b"",
            body_error="",
            failure=None,
            request_left=True,
            timing=Timing(total=0.1),
            remote_address="",
            http_version="1.1",
            tls_version="",
            bytes_received=10,
            bytes_sent=5,
        )

    def abort(self, failure: Failure) -> None:
        raise AssertionError(failure)


async def test_a_bug_becomes_a_result_that_keeps_the_hops() -> None:
    fetcher = BrokenAtTheSecond()
    walk = Walk(TraceRequest("t", "http://a.test/"), fetcher, TargetPolicy(), Settings())
    hop, result = [event async for event in walk.events()]
    assert isinstance(hop, Hop)
    assert isinstance(result, Result)
    assert hop.next_url == "http://a.test/next"
    assert result.stop_reason is StopReason.INTERNAL
    assert result.failure is not None
    assert result.target_reached
    assert (result.hops, result.bytes, fetcher.closed) == (1, 15, 1)


async def test_a_walk_that_is_left_early_closes_its_session() -> None:
    fetcher = BrokenAtTheSecond()
    events = Walk(TraceRequest("t", "http://a.test/"), fetcher, TargetPolicy(), Settings()).events()
    await anext(events)
    await events.aclose()
    assert fetcher.closed == 1


async def test_a_start_that_is_no_url_still_gets_its_result() -> None:
    fetcher = BrokenAtTheSecond()
    walk = Walk(TraceRequest("t", "http://["), fetcher, TargetPolicy(), Settings())
    (result,) = [event async for event in walk.events()]
    assert isinstance(result, Result)
    assert result.stop_reason is StopReason.INVALID_LOCATION
    assert fetcher.asked == 0


async def test_the_clock_of_the_walk_is_its_own() -> None:
    """Time that passes before the first event is read counts: the lease was running."""
    moments = iter([0.0, 100.0, 100.0, 100.0])
    request = TraceRequest("t", "http://a.test/", lease_deadline=50.0)
    walk = Walk(request, BrokenAtTheSecond(), TargetPolicy(), Settings(), clock=lambda: next(moments))
    (result,) = [event async for event in walk.events()]
    assert isinstance(result, Result)
    assert result.stop_reason in {StopReason.LEASE_EXPIRING, StopReason.TOTAL_TIMEOUT}
