"""Walks one chain of redirects, hop by hop, from its URL to where it ends.

Each hop is reported as soon as it is known; exactly one result follows, whatever happens.
"""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from libs.common.process import logs
from libs.common.target_policy.policy import TargetPolicy
from libs.common.version import USER_AGENT
from services.tracer.follow import html, redirects, referrers, urls
from services.tracer.follow.redirects import Dead, DeadEnd, Lead
from services.tracer.follow.referrers import Referrer
from services.tracer.follow.urls import Url
from services.tracer.model.exchange import BodyUse, Exchange, Headers
from services.tracer.model.report import Blame, Failure, Hop, HopKind, Result, StopReason
from services.tracer.model.request import Policy, Proxy, TraceRequest

log = logs.get(__name__)

Plan = Callable[[int, Headers], BodyUse]
"""Decides from the status and the headers of a response what its body is used for."""

CANCELLED = Failure(StopReason.CANCELLED, "CANCELLED", Blame.CALLER, "the walk was cancelled")
SHUTTING_DOWN = Failure(StopReason.CANCELLED, "SHUTTING_DOWN", Blame.CALLER, "the server is shutting down")


class Session(Protocol):
    """One visitor: cookies and connections that no other walk shares."""

    async def fetch(self, url: Url, *, referrer: str, timeout: float, body_limit: int, plan: Plan) -> Exchange:
        """Requests a URL once within `timeout` seconds and follows nothing; never raises for a network or a peer."""
        ...

    def abort(self, failure: Failure) -> None:
        """Ends the fetch that is under way, and every later one, with that failure."""
        ...


class Fetcher(Protocol):
    """Opens sessions."""

    def session(self, proxy: Proxy | None, policy: Policy, until: float | None) -> AbstractContextManager[Session]:
        """Opens a session; leaving it closes its sockets.

        Nothing leaves through the proxy after `until`, in seconds of the monotonic clock.
        """
        ...


@dataclass(frozen=True, slots=True)
class Settings:
    """What all walks of this process have in common."""

    lease_margin: float = 0.5
    """Seconds before the end of a lease at which a walk leaves the proxy."""
    call_margin: float = 0.1
    """Seconds before the deadline of a call at which a walk ends, so that its result arrives in time."""
    app_schemes: frozenset[str] = redirects.APP_SCHEMES
    """Schemes that open an app."""
    user_agent: str = USER_AGENT
    """Sent by walks whose request names none."""


class Walk:
    """One walk; `events` may be read once."""

    def __init__(
        self,
        request: TraceRequest,
        fetcher: Fetcher,
        targets: TargetPolicy,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepares the walk; its total time starts now. `clock` is monotonic and in seconds."""
        self._request = request
        self._fetcher = fetcher
        self._targets = targets
        self._settings = settings
        self._clock = clock
        self._started = clock()
        self._session: Session | None = None
        self._stopped: Failure | None = None
        self._hops = 0
        self._bytes = 0
        self._target_reached = False
        self._last: Exchange | None = None
        self._cookie_names: set[str] = set()
        self._referrer: Referrer | None = None
        lease = request.lease_deadline
        self._lease_end = None if lease is None else lease - settings.lease_margin
        self._deadline, self._too_late = self._earliest_end()

    def stop(self, failure: Failure = CANCELLED) -> None:
        """Ends the walk at once; its result still follows and carries `failure`."""
        self._stopped = self._stopped or failure
        if self._session is not None:
            self._session.abort(self._stopped)

    async def events(self) -> AsyncGenerator[Hop | Result, None]:
        """Yields each hop as soon as it is known, then the result. Closing the iterator closes the walk's sockets."""
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
                    # A bug of ours must cost the caller neither the hops it has nor the result it waits for.
                    log.exception("walk.failed", click_id=self._request.trace_id, host=url.host)
                    self._target_reached = True
                    yield self._result(url.href, _BUG, url)
                    return
                yield hop
                if not isinstance(following, Url):
                    yield self._result(url.href, following, url)
                    return
                url = following

    def _may_not_fetch(self, url: Url) -> Failure | None:
        """Returns why a URL is not requested; None if it is."""
        if url.scheme not in urls.WEB_SCHEMES:
            if url.scheme in self._settings.app_schemes:
                return Failure(StopReason.APP_LINK, "APP_LINK", Blame.TARGET, "the target opens an app")
            message = "the target is neither of the web nor an app"
            return Failure(StopReason.UNSUPPORTED_SCHEME, "UNSUPPORTED_SCHEME", Blame.TARGET, message)
        limits = self._request.limits
        if len(url.href) > limits.max_url_bytes:
            message = f"the URL is longer than {limits.max_url_bytes} bytes"
            return Failure(StopReason.URL_TOO_LARGE, "URL_TOO_LARGE", Blame.TARGET, message)
        refused = self._targets.refusal(url.host)
        if refused is not None:
            return Failure(StopReason.REFUSED_TARGET, refused.reason, Blame.TARGET, refused.message)
        if self._hops >= limits.max_hops:
            message = f"the chain is longer than {limits.max_hops} hops"
            return Failure(StopReason.MAX_HOPS, "MAX_HOPS", Blame.CALLER, message)
        if self._stopped is not None:
            return self._stopped
        return self._too_late if self._clock() >= self._deadline else None

    def _earliest_end(self) -> tuple[float, Failure]:
        """Returns when the walk must end, in seconds of the monotonic clock, and the failure to report then."""
        request = self._request
        ends = [(self._started + request.limits.total_timeout, _TOTAL_TIMEOUT)]
        if request.call_deadline is not None:
            ends.append((request.call_deadline - self._settings.call_margin, _TOTAL_TIMEOUT))
        if self._lease_end is not None:
            ends.append((self._lease_end, _LEASE_EXPIRING))
        return min(ends, key=lambda end: end[0])

    def _plan(self, status: int, headers: Headers) -> BodyUse:
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
        failure = exchange.failure
        if failure is not None and failure.stop is StopReason.HOP_TIMEOUT and remaining < limits.hop_timeout:
            # The walk ran out of time, not the hop. In the first hop nothing else can have used the time up, so there
            # the failure to even connect through the proxy stays what it is.
            unconnected = failure.blame in {Blame.PROXY, Blame.UNCLEAR} and not exchange.request_left
            keeps_blame = self._hops == 0 and unconnected
            failure = replace(failure, stop=self._too_late.stop) if keeps_blame else self._too_late
            return exchange._replace(failure=failure)
        return exchange

    def _judge(self, url: Url, exchange: Exchange) -> tuple[Hop, Url | Failure | None]:
        """Returns the hop to report, and either the next URL or why the walk ends: None for a landing."""
        self._last = exchange
        self._bytes += exchange.bytes_received + exchange.bytes_sent
        self._target_reached = self._target_reached or exchange.request_left
        set_cookies = _cookie_names(exchange.headers)
        new_cookie = not self._cookie_names.issuperset(set_cookies)
        self._cookie_names.update(set_cookies)
        lead: Lead | DeadEnd | None = None
        failure = exchange.failure
        if failure is None:
            lead = self._lead(url, exchange, reload_may_differ=new_cookie)
        if isinstance(lead, DeadEnd):
            failure = _DEAD_ENDS[lead.why]
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
            error=failure.reason if failure is not None else exchange.body_error,
            snippet=lead.snippet if isinstance(lead, Lead) else "",
        )
        self._hops += 1
        if isinstance(lead, Lead):
            self._refer(url, exchange, lead)
        return hop, lead.url if isinstance(lead, Lead) else failure

    def _refer(self, url: Url, exchange: Exchange, lead: Lead) -> None:
        """Records which page and policy the Referer of the next request is made from."""
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

    def _result(self, final_url: str, failure: Failure | None, url: Url | None) -> Result:
        host = url.host if url is not None else ""
        longest = self._request.limits.max_url_bytes
        if len(final_url) > longest:
            # A URL that is too long to follow is too long to report; the stop reason says so.
            final_url, url = final_url[:longest], None
        return Result(
            final_url=final_url,
            stop_reason=StopReason.LANDING if failure is None else failure.stop,
            hops=self._hops,
            failure=None if failure is not None and failure.stop is StopReason.APP_LINK else failure,
            target_reached=self._target_reached,
            params=urls.parameters(url) if url is not None else (),
            total_time=self._clock() - self._started,
            bytes=self._bytes,
            host=host,
            final_status=self._last.status if self._last is not None else 0,
            forwarded=self._last is not None and self._last.forwarded,
            challenged=self._last is not None and redirects.is_challenge(self._last.headers),
        )


_INVALID_START = Failure(StopReason.INVALID_LOCATION, "INVALID_URL", Blame.CALLER, "the URL to start from is no URL")
_TOTAL_TIMEOUT = Failure(StopReason.TOTAL_TIMEOUT, "TOTAL_TIMEOUT", Blame.CALLER, "the walk took longer than it may")
_LEASE_EXPIRING = Failure(
    StopReason.LEASE_EXPIRING, "LEASE_EXPIRING", Blame.CALLER, "the lease on the proxy was about to end"
)
_BUG = Failure(StopReason.INTERNAL, "INTERNAL_ERROR", Blame.CALLER, "the tracer failed; its log has the details")

_DEAD_ENDS = {
    Dead.CONFLICTING_LOCATION: Failure(
        StopReason.CONFLICTING_LOCATION,
        "CONFLICTING_LOCATION",
        Blame.TARGET,
        "the response has two different Locations",
    ),
    Dead.INVALID_LOCATION: Failure(
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
