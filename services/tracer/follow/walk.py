"""The walk: one chain of redirects, hop by hop, from its URL to where it ends and why.

Each hop is reported the moment it is known; the result comes exactly once, last, whatever happens.
"""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from libs.common.process import logs
from services.tracer.follow import html, redirects, referrers, urls
from services.tracer.follow.guard import Refusal
from services.tracer.follow.redirects import Dead, DeadEnd, Lead
from services.tracer.follow.referrers import Referrer
from services.tracer.follow.urls import Url
from services.tracer.model import (
    Blame,
    Body,
    Exchange,
    Failure,
    Fault,
    Headers,
    Hop,
    HopKind,
    Policy,
    Proxy,
    Result,
    StopReason,
    TraceRequest,
)

log = logs.get(__name__)

Plan = Callable[[int, Headers], Body]

CANCELLED = Fault(StopReason.CANCELLED, "CANCELLED", Blame.CALLER, "the walk was cancelled")
SHUTTING_DOWN = Fault(StopReason.CANCELLED, "SHUTTING_DOWN", Blame.CALLER, "the server is shutting down")


class Session(Protocol):
    """One visitor: cookies and connections that no other walk shares."""

    async def fetch(self, url: Url, *, referrer: str, timeout: float, body_limit: int, plan: Plan) -> Exchange:
        """Requests a URL once, following nothing; never raises for what a network or peer does."""
        ...

    def abort(self, fault: Fault) -> None:
        """Ends the fetch that is under way, and every later one, with that fault."""
        ...


class Fetcher(Protocol):
    """Opens sessions."""

    def session(self, proxy: Proxy | None, policy: Policy, until: float | None) -> AbstractContextManager[Session]:
        """Opens a session; leaving it closes its sockets. Nothing leaves through the proxy after `until`."""
        ...


class Guard(Protocol):
    """Says which targets are refused."""

    def refusal(self, url: Url) -> Refusal | None:
        """Returns why a URL must not be reached; None if it may be."""
        ...


@dataclass(frozen=True, slots=True)
class Settings:
    """How walks are taken by this process."""

    lease_margin: float = 0.5
    """Seconds before the end of a lease at which a walk leaves the proxy."""
    call_margin: float = 0.1
    """Seconds before the deadline of a call at which a walk ends, so that its result arrives in time."""
    app_schemes: frozenset[str] = redirects.APP_SCHEMES
    """The schemes that open an app."""
    user_agent: str = "Mozilla/5.0 (compatible; Clicktrace/0.1; redirect tracer)"
    """What a walk says of itself if its request does not say otherwise."""


class Walk:
    """One walk; `events` may be read once."""

    def __init__(
        self,
        request: TraceRequest,
        fetcher: Fetcher,
        guard: Guard,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepares the walk; its total time starts now. `clock` is monotonic, in seconds."""
        self._request = request
        self._fetcher = fetcher
        self._guard = guard
        self._settings = settings
        self._clock = clock
        self._started = clock()
        self._session: Session | None = None
        self._stopped: Fault | None = None
        self._hops = 0
        self._bytes = 0
        self._target_reached = False
        self._cookie_names: set[str] = set()
        self._referrer: Referrer | None = None
        lease = request.lease_deadline
        self._lease_end = None if lease is None else lease - settings.lease_margin
        self._deadline, self._too_late = self._earliest_end()

    def stop(self, fault: Fault = CANCELLED) -> None:
        """Ends the walk at once; its result still comes, and says so."""
        self._stopped = self._stopped or fault
        if self._session is not None:
            self._session.abort(self._stopped)

    async def events(self) -> AsyncGenerator[Hop | Result, None]:
        """Yields every hop when it is known, then the result. Closing it early closes the sockets of the walk."""
        url = urls.parse(self._request.url)
        if url is None:
            yield self._result(self._request.url, _INVALID_START, None)
            return
        policy = self._request.policy
        policy = policy._replace(user_agent=policy.user_agent or self._settings.user_agent)
        with self._fetcher.session(self._request.proxy, policy, self._lease_end) as session:
            self._session = session
            while True:
                ended = self._may_not_fetch(url)
                if ended is not None:
                    yield self._result(url.href, ended, url)
                    return
                try:
                    hop, following = self._judge(url, await self._fetch(session, url))
                except Exception:
                    # A bug of ours must not cost the caller the hops it has, nor the result it waits for.
                    log.exception("walk.failed", click_id=self._request.trace_id, host=url.host)
                    self._target_reached = True
                    yield self._result(url.href, _BUG, url)
                    return
                yield hop
                if not isinstance(following, Url):
                    yield self._result(url.href, following, url)
                    return
                url = following

    def _may_not_fetch(self, url: Url) -> Fault | None:
        """Returns why a URL is not requested; None if it is."""
        if url.scheme not in urls.WEB_SCHEMES:
            if url.scheme in self._settings.app_schemes:
                return Fault(StopReason.APP_LINK, "APP_LINK", Blame.TARGET, "the target opens an app")
            message = "the target is neither of the web nor an app"
            return Fault(StopReason.UNSUPPORTED_SCHEME, "UNSUPPORTED_SCHEME", Blame.TARGET, message)
        limits = self._request.limits
        if len(url.href) > limits.max_url_bytes:
            message = f"the URL is longer than {limits.max_url_bytes} bytes"
            return Fault(StopReason.URL_TOO_LARGE, "URL_TOO_LARGE", Blame.TARGET, message)
        refused = self._guard.refusal(url)
        if refused is not None:
            return Fault(StopReason.REFUSED_TARGET, refused.reason, Blame.TARGET, refused.message)
        if self._hops >= limits.max_hops:
            message = f"the chain is longer than {limits.max_hops} hops"
            return Fault(StopReason.MAX_HOPS, "MAX_HOPS", Blame.CALLER, message)
        if self._stopped is not None:
            return self._stopped
        return self._too_late if self._clock() >= self._deadline else None

    def _earliest_end(self) -> tuple[float, Fault]:
        """Returns when the walk must end, by the monotonic clock, and what it is called if it does."""
        request = self._request
        ends = [(self._started + request.limits.total_timeout, _TOTAL_TIMEOUT)]
        if request.call_deadline is not None:
            ends.append((request.call_deadline - self._settings.call_margin, _TOTAL_TIMEOUT))
        if self._lease_end is not None:
            ends.append((self._lease_end, _LEASE_EXPIRING))
        return min(ends, key=lambda end: end[0])

    def _plan(self, status: int, headers: Headers) -> Body:
        return redirects.body_plan(status, headers, follow_html=self._request.policy.follow_html)

    async def _fetch(self, session: Session, url: Url) -> Exchange:
        limits = self._request.limits
        remaining = self._deadline - self._clock()
        exchange = await session.fetch(
            url,
            referrer=referrers.header_value(self._referrer, url),
            timeout=min(limits.hop_timeout, remaining),
            body_limit=limits.max_body_bytes,
            plan=self._plan,
        )
        fault = exchange.fault
        if fault is not None and fault.stop is StopReason.HOP_TIMEOUT and remaining < limits.hop_timeout:
            # Not the hop was too slow, but the walk was too late. Only in the first hop nothing else can have used up
            # the time, so there the proxy keeps the blame for not even connecting.
            keeps_blame = self._hops == 0 and fault.blame is Blame.PROXY
            fault = replace(fault, stop=self._too_late.stop) if keeps_blame else self._too_late
            return exchange._replace(fault=fault)
        return exchange

    def _judge(self, url: Url, exchange: Exchange) -> tuple[Hop, Url | Fault | None]:
        """Returns the hop to report, and the next URL, or why the walk ends: None for a landing."""
        self._bytes += exchange.bytes_received + exchange.bytes_sent
        self._target_reached = self._target_reached or exchange.request_left
        set_cookies = _cookie_names(exchange.headers)
        new_cookie = not self._cookie_names.issuperset(set_cookies)
        self._cookie_names.update(set_cookies)
        lead: Lead | DeadEnd | None = None
        fault = exchange.fault
        if fault is None:
            lead = self._lead(url, exchange, reload_may_differ=new_cookie)
        if isinstance(lead, DeadEnd):
            fault = _DEAD_ENDS[lead.why]
        hop = Hop(
            number=self._hops,
            url=url.public,
            status=exchange.status,
            next_url=_next_url(lead)[: self._request.limits.max_url_bytes],
            kind=lead.kind if isinstance(lead, Lead) else None,
            timing=exchange.timing,
            remote_address=exchange.remote_address,
            http_version=exchange.http_version,
            tls_version=exchange.tls_version,
            bytes=exchange.bytes_received,
            set_cookie_names=set_cookies,
            error=fault.reason if fault is not None else exchange.body_error,
            snippet=lead.snippet if isinstance(lead, Lead) else "",
            params=urls.parameters(url),
        )
        self._hops += 1
        if isinstance(lead, Lead):
            self._refer(url, exchange, lead)
        return hop, lead.url if isinstance(lead, Lead) else fault

    def _refer(self, url: Url, exchange: Exchange, lead: Lead) -> None:
        """Notes what the next request says of where it comes from."""
        if lead.kind is HopKind.LOCATION and self._referrer is None:
            return
        declared = referrers.policy_of_headers(exchange.headers)
        if lead.kind is not HopKind.LOCATION:
            self._referrer = Referrer(url, lead.referrer_policy or declared or referrers.DEFAULT_POLICY)
        elif self._referrer is not None and declared:
            self._referrer = replace(self._referrer, policy=declared)

    def _lead(self, url: Url, exchange: Exchange, *, reload_may_differ: bool) -> Lead | DeadEnd | None:
        lead = redirects.from_headers(exchange.status, exchange.headers, url, reload_may_differ=reload_may_differ)
        if lead is not None or not exchange.body:
            return lead
        types = exchange.headers.get(b"content-type", (b"",))
        return html.find_lead(exchange.body, types[-1], url, reload_may_differ=reload_may_differ)

    def _result(self, final_url: str, fault: Fault | None, url: Url | None) -> Result:
        failure = None
        host = url.host if url is not None else ""
        longest = self._request.limits.max_url_bytes
        if len(final_url) > longest:
            # What is too long to follow is too long to send on; the stop says that it was.
            final_url, url = final_url[:longest], None
        if fault is not None and fault.stop is not StopReason.APP_LINK:
            failure = Failure(fault.reason, fault.blame, self._target_reached, fault.message)
        return Result(
            final_url=final_url,
            stop_reason=StopReason.LANDING if fault is None else fault.stop,
            hops=self._hops,
            failure=failure,
            params=urls.parameters(url) if url is not None else (),
            total_time=self._clock() - self._started,
            bytes=self._bytes,
            host=host,
        )


_INVALID_START = Fault(StopReason.INVALID_LOCATION, "INVALID_URL", Blame.CALLER, "the URL to start from is no URL")
_TOTAL_TIMEOUT = Fault(StopReason.TOTAL_TIMEOUT, "TOTAL_TIMEOUT", Blame.CALLER, "the walk took longer than it may")
_LEASE_EXPIRING = Fault(
    StopReason.LEASE_EXPIRING, "LEASE_EXPIRING", Blame.CALLER, "the lease on the proxy was about to end"
)
_BUG = Fault(StopReason.INTERNAL, "INTERNAL_ERROR", Blame.CALLER, "the tracer failed; its log has the details")

_DEAD_ENDS = {
    Dead.CONFLICTING_LOCATION: Fault(
        StopReason.CONFLICTING_LOCATION,
        "CONFLICTING_LOCATION",
        Blame.TARGET,
        "the response has two different Locations",
    ),
    Dead.INVALID_LOCATION: Fault(
        StopReason.INVALID_LOCATION, "INVALID_LOCATION", Blame.TARGET, "the response leads to what is no URL"
    ),
}


def _next_url(lead: Lead | DeadEnd | None) -> str:
    if isinstance(lead, Lead):
        return lead.url.href
    return lead.target if isinstance(lead, DeadEnd) else ""


def _cookie_names(headers: Headers) -> tuple[str, ...]:
    """Returns the names of the cookies a response sets, in order, each once."""
    values = headers.get(b"set-cookie")
    if values is None:
        return ()
    names = [value.partition(b";")[0].partition(b"=")[0].strip().decode("latin-1") for value in values]
    return tuple(dict.fromkeys(filter(None, names)))
