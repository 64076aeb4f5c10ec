"""Fetches one URL after another as one isolated visitor: the adapter between the walk and libcurl.

Isolation is by construction. A session has an easy handle of its own, and so its own cookies, and a share object of its
own that holds its connections and TLS sessions. libcurl looks for reusable connections in that share only, so no walk
uses a connection of another walk, even through the same proxy with the same credentials, and closing the share closes
every socket of the walk.

Through an HTTP proxy every URL goes by CONNECT, so that the response is the target's own, uncached and unaltered. A
plain http request is forwarded only where the proxy refuses CONNECT to the port.
"""

import asyncio
import ipaddress
import socket
import time
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

import pycurl

from libs.common.target_policy.policy import TargetPolicy
from services.tracer.fetch import cookies, failures, options
from services.tracer.fetch.blame import rules
from services.tracer.fetch.driver import Driver, Outcome
from services.tracer.fetch.failures import Breakdown, Phase
from services.tracer.fetch.forwarding import ForwardingMemory
from services.tracer.fetch.names import UNRESOLVED, MissingNames
from services.tracer.fetch.options import TlsTrust
from services.tracer.fetch.own_answers import is_own_answer
from services.tracer.fetch.response import Collector, Plan
from services.tracer.fetch.sockets import Sockets
from services.tracer.follow.urls import Url
from services.tracer.model.exchange import BodyUse, Exchange, Headers
from services.tracer.model.report import Failure, Timing
from services.tracer.model.request import Policy, Protocol, Proxy

DRAIN_SECONDS = 0.05
"""Time that an unneeded body may take to arrive before its connection is closed instead of reused."""

_GREETING_BYTES = 2
"""Length of the first message of a SOCKS5 proxy (RFC 1928 section 3)."""
_HTTP_VERSIONS = {1: "1.0", 2: "1.1", 3: "2", 30: "3"}


class Session:
    """One visitor's cookies and connections, through one proxy; they last as long as the session is open."""

    def __init__(
        self,
        shared: "Shared",
        proxy: Proxy | None,
        policy: Policy,
        *,
        until: float | None,
    ) -> None:
        """Prepares a session; connects nothing.

        Nothing leaves through the proxy after `until`, in seconds of the monotonic clock.
        """
        self._driver = shared.driver
        self._shared = shared
        self._proxy = proxy
        self._socks = proxy is not None and proxy.protocol is Protocol.SOCKS5
        self._sockets = Sockets(until, watched=self._socks)
        self._loop = asyncio.get_running_loop()
        self._share = pycurl.CurlShare()
        self._share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_CONNECT)
        self._share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_SSL_SESSION)
        if proxy is not None and _is_literal(proxy.host):
            # libcurl caches an address literal like a name, and scans the whole cache with every transfer: with
            # thousands of proxies a tenth of the CPU of a walk. Names stay in the cache that all walks share.
            self._share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_DNS)
        self._curl = pycurl.Curl()
        self._headers = options.headers(policy)
        self._collector = Collector(partial(shared.driver.linger, self._curl, DRAIN_SECONDS))
        self._verbose = False
        self._forwarding = False
        self._tunnelling = False
        self._forwarded_ports: set[int] = set()
        self._extra_headers: tuple[str, ...] = ()
        self._credentials: tuple[bytes, bytes] | None = None
        self._host = ""
        self._dialled = ("", 0) if proxy is None else (proxy.host, proxy.port)
        self._remote_address = ""
        self._sockets_before = 0
        self._tls_versions: dict[tuple[str, str, int], str] = {}
        self._dial_refused = False
        self._aborted: Failure | None = None
        options.apply(self._curl, self._share, self._collector, policy)
        options.trust(self._curl, shared.trust)
        if proxy is None:
            self._curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        else:
            self._curl.setopt(pycurl.SOCKOPTFUNCTION, self._sockets.opened)
            options.leave_through(self._curl, proxy)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes every connection of the session."""
        self._sockets.part_if_late()
        self._curl.close()
        self._share.close()
        # It refers to the walk through the plan, and the walk to the session: a cycle that only the collector breaks.
        self._collector.forget()

    def abort(self, failure: Failure) -> None:
        """Ends the fetch in progress, and every later one, with `failure`."""
        self._aborted = failure
        self._driver.finish(self._curl, Outcome(pycurl.E_ABORTED_BY_CALLBACK, ""))

    async def fetch(self, url: Url, *, referrer: str, timeout: float, body_limit: int, plan: Plan) -> Exchange:
        """Requests a URL with GET and returns the exchange; never raises for what a network or peer does.

        `timeout` is in seconds and covers all phases. `plan` is called once, as soon as status and headers are known,
        and decides what the body is used for. Of a body to READ, up to `body_limit` decoded bytes are kept.
        """
        started = time.perf_counter()
        self._sockets_before = self._sockets.count
        self._forwarding = self._knows_forwarding(url)
        self._aim(url, referrer)
        outcome = await self._attempt(timeout, body_limit, plan)
        if not self._tunnel_was_refused(url):
            return self._exchange(url, outcome, time.perf_counter() - started)
        self._forwarding = True
        self._aim(url, referrer)
        outcome = await self._attempt(timeout - (time.perf_counter() - started), body_limit, plan)
        exchange = self._exchange(url, outcome, time.perf_counter() - started)
        if exchange.failure is None:
            self._learn_forwarding(url)
        return exchange

    async def _attempt(self, timeout: float, body_limit: int, plan: Plan) -> Outcome:
        self._collector.begin(plan, body_limit)
        self._curl.setopt(pycurl.TIMEOUT_MS, max(1, int(timeout * 1000)))
        if self._aborted is not None:
            return Outcome(pycurl.E_ABORTED_BY_CALLBACK, "")
        missing = self._shared.missing
        renewed = missing.forget(self._curl, self._dialled)
        outcome = await self._driver.perform(self._curl, self._sockets)
        if renewed:
            self._curl.unsetopt(pycurl.RESOLVE)
        if outcome.code in UNRESOLVED:
            missing.learn(self._dialled)
        return outcome

    def _knows_forwarding(self, url: Url) -> bool:
        """Returns whether a request is forwarded by its proxy, in absolute form, without trying a tunnel first."""
        if self._proxy is None or self._socks or url.scheme != "http":
            return False
        port = url.port
        if port in self._forwarded_ports:
            return True
        if not self._shared.forwarding.forwards(self._proxy, port):
            return False
        self._forwarded_ports.add(port)
        return True

    def _tunnel_was_refused(self, url: Url) -> bool:
        """Returns whether the proxy answered CONNECT for a plain http URL in a way that leaves forwarding to try."""
        if self._forwarding or self._proxy is None or self._socks or url.scheme != "http" or self._aborted is not None:
            return False
        status = self._curl.getinfo(pycurl.HTTP_CONNECTCODE)
        if 200 <= status < 300:
            self._shared.forwarding.tunnelled(self._proxy, url.port)
        return status in failures.NO_TUNNEL_STATUSES and not self._collector.request_left

    def _learn_forwarding(self, url: Url) -> None:
        if self._proxy is not None:
            self._forwarded_ports.add(url.port)
            self._shared.forwarding.forwarded(self._proxy, url.port)

    def _aim(self, url: Url, referrer: str) -> None:
        curl = self._curl
        self._host = url.host
        if self._proxy is None:
            self._dialled = (url.host, url.port)
        self._dial_refused = False
        bare = url.public.partition("#")[0]
        curl.setopt(pycurl.URL, bare)
        # libcurl would leave out an empty query.
        curl.setopt(pycurl.REQUEST_TARGET, bare if self._forwarding else url.request_target)
        if self._tunnelling is self._forwarding and self._proxy is not None:
            self._tunnelling = not self._forwarding
            curl.setopt(pycurl.HTTPPROXYTUNNEL, 1 if self._tunnelling else 0)
        credentials = url.credentials
        if credentials != self._credentials:
            self._credentials = credentials
            self._set_credentials(credentials)
        # A proxy that caches would give one visitor the redirect of another.
        extra = ("Cache-Control: no-cache",) if self._forwarding else ()
        if referrer:
            extra = (*extra, f"Referer: {referrer}")
        if extra != self._extra_headers:
            self._extra_headers = extra
            curl.setopt(pycurl.HTTPHEADER, [*self._headers, *extra])
        # Tells the TLS version, and whether TLS with the proxy stood; costs several callbacks.
        verbose = url.scheme == "https" or (self._proxy is not None and self._proxy.protocol is Protocol.HTTPS)
        if verbose != self._verbose:
            self._verbose = verbose
            curl.setopt(pycurl.VERBOSE, 1 if verbose else 0)

    def _set_credentials(self, credentials: tuple[bytes, bytes] | None) -> None:
        if credentials is None:
            self._curl.unsetopt(pycurl.USERNAME)
            self._curl.unsetopt(pycurl.PASSWORD)
        else:
            self._curl.setopt(pycurl.USERNAME, credentials[0])
            self._curl.setopt(pycurl.PASSWORD, credentials[1])

    def _open_socket(self, _purpose: int, address: pycurl.CurlSockAddr) -> socket.socket | int:
        """Opens a socket to an address that a name resolved to, unless the target policy refuses the address."""
        family, kind, protocol, target = address
        dialled = ipaddress.ip_address(str(target[0]).partition("%")[0])
        if self._shared.targets.dialled_refusal(self._host, dialled) is not None:
            self._dial_refused = True
            return pycurl.SOCKET_BAD
        try:
            opened = socket.socket(family, kind, protocol)
        except OSError:
            # Out of descriptors. Nothing may be raised into libcurl.
            return pycurl.SOCKET_BAD
        # libcurl duplicates the descriptor when this returns.
        self._loop.call_soon(opened.close)
        return opened

    def _exchange(self, url: Url, outcome: Outcome, total: float) -> Exchange:
        collector = self._collector
        info = self._curl.getinfo
        body_error = ""
        failure = self._aborted
        if failure is None and outcome.code and not (collector.complete and _is_harmless(outcome.code)):
            failure = self._failure(url, outcome)
        elif failure is None and not outcome.code and not collector.complete:
            # Closed within the headers, which libcurl takes for the end of a response without a body.
            failure = self._failure(url, Outcome(pycurl.E_GOT_NOTHING, ""))
        elif outcome.code and collector.use is BodyUse.READ and not collector.body_cut:
            body_error = "BODY_UNDECODABLE" if outcome.code == pycurl.E_BAD_CONTENT_ENCODING else "BODY_TRUNCATED"
        request_left = collector.request_left
        if failure is None and self._forwarding:
            failure = _forwarded_failure(collector.status, collector.headers)
            # A demand for credentials is the proxy's; nothing was passed on.
            request_left = request_left and failure is not failures.AUTH_REQUIRED
        # A length beside chunks lets an origin hide one response inside another, so its connection is never reused.
        if b"content-length" in collector.headers and b"transfer-encoding" in collector.headers:
            self._curl.setopt(pycurl.FRESH_CONNECT, 1)
        if url.scheme == "https" and collector.tls_version and info(pycurl.APPCONNECT_TIME_T):
            # A reused connection does not tell its TLS version again.
            self._tls_versions[url.origin] = collector.tls_version
        set_cookies = collector.headers.get(b"set-cookie")
        if set_cookies:
            cookies.correct(self._curl, url, set_cookies, time.time())
        dns = connect = None
        if self._proxy is None or self._sockets.count != self._sockets_before:
            # Otherwise the hop used an open connection, and all connections to one proxy have one address.
            dns, connect = _phase(info(pycurl.NAMELOOKUP_TIME_T)), _phase(info(pycurl.CONNECT_TIME_T))
            address = info(pycurl.PRIMARY_IP)
            self._remote_address = _joined(address, info(pycurl.PRIMARY_PORT)) if address else ""
        return Exchange(
            status=collector.status if collector.complete else 0,
            headers=collector.headers,
            body=collector.body if collector.use is BodyUse.READ else b"",
            body_error=body_error,
            failure=failure,
            request_left=request_left,
            timing=Timing(
                total=total,
                dns=dns,
                connect=connect,
                tls=_phase(info(pycurl.APPCONNECT_TIME_T)) if url.scheme == "https" else None,
                first_byte=_phase(info(pycurl.STARTTRANSFER_TIME_T)) if collector.status else None,
            ),
            remote_address=self._remote_address,
            http_version=_HTTP_VERSIONS.get(info(pycurl.INFO_HTTP_VERSION), "") if collector.status else "",
            tls_version=self._tls_versions.get(url.origin, "") if request_left else "",
            bytes_received=info(pycurl.HEADER_SIZE) + int(info(pycurl.SIZE_DOWNLOAD_T)),
            bytes_sent=info(pycurl.REQUEST_SIZE),
            forwarded=self._forwarding,
        )

    def _failure(self, url: Url, outcome: Outcome) -> Failure:
        collector = self._collector
        if collector.headers_too_large:
            return failures.HEADERS_TOO_LARGE if collector.request_left else failures.PROXY_ANSWER_TOO_LARGE
        if collector.malformed:
            return failures.MALFORMED_RESPONSE
        info = self._curl.getinfo
        return rules.failure_of(
            Breakdown(
                code=outcome.code,
                words=outcome.message,
                phase=self._phase(),
                proxied=self._proxy is not None,
                secure=url.scheme == "https",
                connect_status=info(pycurl.HTTP_CONNECTCODE),
                connect_body=collector.connect_body,
                socks_code=info(pycurl.PROXY_ERROR),
                verify_result=info(pycurl.SSL_VERIFYRESULT),
                proxy_verify_result=info(pycurl.PROXY_SSL_VERIFYRESULT),
                dial_refused=self._dial_refused,
            )
        )

    def _phase(self) -> Phase:
        """Returns how far the transfer had come, as far as libcurl and the kernel tell."""
        collector, info = self._collector, self._curl.getinfo
        if collector.request_left:
            return Phase.TRANSFER if collector.status else Phase.ANSWER
        if info(pycurl.NAMELOOKUP_TIME_T) <= 0 and not _is_literal(self._dialled[0]):
            return Phase.NAME
        if info(pycurl.CONNECT_TIME_T) <= 0:
            return Phase.CONNECT
        if self._proxy is None:
            return Phase.TLS
        if self._socks:
            # libcurl sets the verify result to a failure when a handshake begins.
            if info(pycurl.SSL_VERIFYRESULT) != 0:
                return Phase.TLS
            return Phase.TUNNEL if self._sockets.received >= _GREETING_BYTES else Phase.GREETING
        connect_status = info(pycurl.HTTP_CONNECTCODE)
        if 200 <= connect_status < 300:
            return Phase.TLS
        if self._proxy.protocol is Protocol.HTTPS and not (connect_status or collector.tunnel_asked):
            return Phase.PROXY_TLS
        return Phase.TUNNEL


def _forwarded_failure(status: int, headers: Headers) -> Failure | None:
    """Returns why the response to a forwarded request is not taken for the target's; None if it is."""
    if status == 407 and b"proxy-authenticate" in headers:
        return failures.AUTH_REQUIRED
    if is_own_answer(status, headers):
        return failures.OWN_ANSWER
    return failures.FORWARDED_ERROR if status >= 400 else None


def _is_harmless(code: int) -> bool:
    """Returns whether a transfer that broke after its headers still counts as a response; one that timed out fails."""
    return code != pycurl.E_OPERATION_TIMEDOUT


def _is_literal(host: str) -> bool:
    """Returns whether a host is an IP literal and not a name."""
    return ":" in host or host.replace(".", "").isdigit()


def _phase(microseconds: int) -> float | None:
    return microseconds / 1_000_000 if microseconds > 0 else None


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Shared:
    """What the sessions of a process have in common."""

    driver: Driver
    targets: TargetPolicy
    trust: TlsTrust
    forwarding: ForwardingMemory
    missing: MissingNames


class Fetcher:
    """Opens sessions; one per process."""

    def __init__(self, driver: Driver, targets: TargetPolicy, trust: TlsTrust) -> None:
        """Takes what all sessions have in common."""
        self._shared = Shared(driver, targets, trust, ForwardingMemory(), MissingNames())

    def session(self, proxy: Proxy | None, policy: Policy, until: float | None = None) -> Session:
        """Opens a session for one walk, to be entered as a context manager.

        Nothing leaves through the proxy after `until`, in seconds of the monotonic clock, not even a TLS alert.
        """
        return Session(self._shared, proxy, policy, until=until)
