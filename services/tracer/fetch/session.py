"""Fetches one URL after another as one isolated visitor: the adapter between the walk and libcurl.

Isolation is by construction: a session has an easy handle of its own (and so its own cookies) and a share object of its
own that holds its connections and TLS sessions. libcurl looks for connections to reuse in the share alone, so no walk
ever rides on a connection of another one, whatever proxy and credentials they have in common, and closing the share
closes every socket of the walk.
"""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

import pycurl

from services.tracer.fetch import faults
from services.tracer.fetch.driver import Driver, Outcome
from services.tracer.fetch.response import Collector, Plan
from services.tracer.fetch.sockets import Sockets
from services.tracer.follow.guard import Guard
from services.tracer.follow.urls import Url
from services.tracer.model import Body, Exchange, Fault, Policy, Protocol, Proxy, Timing

DRAIN_SECONDS = 0.05
"""How long the rest of a body that nobody needs may take to come."""

_ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
_HTTP_VERSIONS = {1: "1.0", 2: "1.1", 3: "2", 30: "3"}

# libcurl has it, pycurl has no name for it.
_SUPPRESS_CONNECT_HEADERS = 265


@dataclass(frozen=True, slots=True)
class TlsTrust:
    """Whose certificates are trusted: a bundle file, or a directory of hashed certificates if there is none."""

    file: str = ""
    directory: str = ""


class Session:
    """One visitor on his way through one proxy: cookies and connections last as long as it is open."""

    def __init__(
        self,
        driver: Driver,
        guard: Guard,
        trust: TlsTrust,
        proxy: Proxy | None,
        policy: Policy,
        *,
        until: float | None,
    ) -> None:
        """Prepares a session; nothing is connected before the first fetch, and nothing leaves after `until`."""
        self._driver = driver
        self._guard = guard
        self._proxy = proxy
        self._sockets = Sockets(until)
        self._loop = asyncio.get_running_loop()
        self._share = pycurl.CurlShare()
        self._share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_CONNECT)
        self._share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_SSL_SESSION)
        if proxy is not None and _is_literal(proxy.host):
            # libcurl remembers an address as it does a name, and looks through all that it remembers with every
            # transfer: with thousands of proxies a tenth of the CPU of a walk. Names stay where all walks find them.
            self._share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_DNS)
        self._curl = pycurl.Curl()
        self._headers = [
            f"Accept: {_ACCEPT}",
            *([f"Accept-Language: {policy.accept_language}"] if policy.accept_language else []),
            # A header that libcurl adds for old proxies, and that a simple one would pass on to the origin.
            "Proxy-Connection:",
        ]
        self._collector = Collector(partial(driver.linger, self._curl, DRAIN_SECONDS))
        self._verbose = False
        self._referrer = ""
        self._credentials: tuple[bytes, bytes] | None = None
        self._host = ""
        self._remote_address = ""
        self._sockets_before = 0
        self._tls_versions: dict[tuple[str, str, int], str] = {}
        self._dial_refused = False
        self._aborted: Fault | None = None
        self._configure(trust, policy)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes every connection of the session."""
        self._sockets.part_if_late()
        self._curl.close()
        self._share.close()
        # It knows the walk by its plan, and the walk knows the session: a cycle that only a collection would end.
        self._collector.forget()

    def abort(self, fault: Fault) -> None:
        """Ends the fetch that is under way, and every later one, with that fault."""
        self._aborted = fault
        self._driver.finish(self._curl, Outcome(pycurl.E_ABORTED_BY_CALLBACK, ""))

    async def fetch(self, url: Url, *, referrer: str, timeout: float, body_limit: int, plan: Plan) -> Exchange:
        """Requests a URL with GET and returns what came of it; never raises for what a network or peer does.

        `timeout` is in seconds and covers all phases. `plan` is asked once what the body is good for, as soon as the
        status and headers are known.
        """
        self._collector.begin(plan, body_limit)
        self._sockets_before = self._sockets.count
        started = time.perf_counter()
        self._aim(url, referrer, timeout)
        outcome = Outcome(pycurl.E_ABORTED_BY_CALLBACK, "")
        if self._aborted is None:
            outcome = await self._driver.perform(self._curl, self._sockets)
        return self._exchange(url, outcome, time.perf_counter() - started)

    def _configure(self, trust: TlsTrust, policy: Policy) -> None:
        curl = self._curl
        options: Mapping[int, object] = {
            pycurl.SHARE: self._share,
            pycurl.NOSIGNAL: 1,
            # Redirects are the walk's to judge; credentials and cookies are decided anew at each hop.
            pycurl.FOLLOWLOCATION: 0,
            pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
            pycurl.HTTP09_ALLOWED: 0,
            # An empty name turns the cookie engine on and reads no file.
            pycurl.COOKIEFILE: "",
            # zstd is not asked for, because this libcurl cannot read it.
            pycurl.ENCODING: "gzip, deflate, br",
            pycurl.USERAGENT: policy.user_agent.encode(),
            pycurl.HTTPHEADER: self._headers,
            pycurl.PROXYHEADER: ["Proxy-Connection:"],
            pycurl.HEADEROPT: pycurl.HEADER_SEPARATE,
            _SUPPRESS_CONNECT_HEADERS: 1,
            pycurl.PREREQFUNCTION: self._collector.before_request,
            pycurl.HEADERFUNCTION: self._collector.header,
            pycurl.WRITEFUNCTION: self._collector.body_part,
            # Is called only where VERBOSE is set: for https.
            pycurl.DEBUGFUNCTION: self._collector.debug,
            # Set in any case, so that no variable of the environment ever chooses the way out.
            pycurl.PROXY: "",
            pycurl.NOPROXY: "",
            pycurl.SSL_VERIFYPEER: 0 if policy.allow_insecure_tls else 1,
            pycurl.SSL_VERIFYHOST: 0 if policy.allow_insecure_tls else 2,
        }
        for option, value in options.items():
            curl.setopt(option, value)
        for file_option, directory_option in (
            (pycurl.CAINFO, pycurl.CAPATH),
            (pycurl.PROXY_CAINFO, pycurl.PROXY_CAPATH),
        ):
            if trust.file:
                # Without a directory libcurl keeps the parsed bundle, which saves parsing it for every connection.
                curl.setopt(file_option, trust.file)
                curl.unsetopt(directory_option)
            elif trust.directory:
                curl.unsetopt(file_option)
                curl.setopt(directory_option, trust.directory)
        if self._proxy is None:
            curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        else:
            self._use(self._proxy)

    def _use(self, proxy: Proxy) -> None:
        host = f"[{proxy.host}]" if ":" in proxy.host else proxy.host
        self._curl.setopt(pycurl.SOCKOPTFUNCTION, self._sockets.opened)
        self._curl.setopt(pycurl.PROXY, f"{proxy.protocol.value}://{host}:{proxy.port}")
        if proxy.username or proxy.password:
            self._curl.setopt(pycurl.PROXYAUTH, pycurl.HTTPAUTH_BASIC)
            self._curl.setopt(pycurl.PROXYUSERNAME, proxy.username.encode())
            self._curl.setopt(pycurl.PROXYPASSWORD, proxy.password.encode())

    def _aim(self, url: Url, referrer: str, timeout: float) -> None:
        curl = self._curl
        self._host = url.host
        self._dial_refused = False
        bare = url.public.partition("#")[0]
        curl.setopt(pycurl.URL, bare)
        # libcurl would leave out an empty query.
        curl.setopt(pycurl.REQUEST_TARGET, bare if self._forwards(url) else url.request_target)
        credentials = url.credentials
        if credentials != self._credentials:
            self._credentials = credentials
            self._set_credentials(credentials)
        if referrer != self._referrer:
            self._referrer = referrer
            curl.setopt(pycurl.HTTPHEADER, [*self._headers, f"Referer: {referrer}"] if referrer else self._headers)
        curl.setopt(pycurl.TIMEOUT_MS, max(1, int(timeout * 1000)))
        secure = url.scheme == "https"
        if secure != self._verbose:
            self._verbose = secure
            curl.setopt(pycurl.VERBOSE, 1 if secure else 0)

    def _set_credentials(self, credentials: tuple[bytes, bytes] | None) -> None:
        if credentials is None:
            self._curl.unsetopt(pycurl.USERNAME)
            self._curl.unsetopt(pycurl.PASSWORD)
        else:
            self._curl.setopt(pycurl.USERNAME, credentials[0])
            self._curl.setopt(pycurl.PASSWORD, credentials[1])

    def _forwards(self, url: Url) -> bool:
        """Says whether the proxy gets the request itself, in absolute form, instead of opening a tunnel."""
        return self._proxy is not None and self._proxy.protocol is not Protocol.SOCKS5 and url.scheme == "http"

    def _open_socket(self, _purpose: int, address: pycurl.CurlSockAddr) -> socket.socket | int:
        """Opens a socket to an address that a name resolved to, unless the guard refuses it: the last moment to."""
        family, kind, protocol, target = address
        dialled = ipaddress.ip_address(str(target[0]).partition("%")[0])
        if self._guard.dialled_refusal(self._host, dialled) is not None:
            self._dial_refused = True
            return pycurl.SOCKET_BAD
        try:
            opened = socket.socket(family, kind, protocol)
        except OSError:
            # Out of descriptors; nothing may be raised into libcurl.
            return pycurl.SOCKET_BAD
        # libcurl takes a duplicate of the descriptor, and does so when this returns.
        self._loop.call_soon(opened.close)
        return opened

    def _exchange(self, url: Url, outcome: Outcome, total: float) -> Exchange:
        collector = self._collector
        info = self._curl.getinfo
        body_error = ""
        fault = self._aborted
        if fault is None and outcome.code and not (collector.complete and _is_harmless(outcome.code)):
            fault = self._fault(outcome)
        elif outcome.code and collector.use is Body.READ and not collector.body_cut:
            body_error = "BODY_UNDECODABLE" if outcome.code == pycurl.E_BAD_CONTENT_ENCODING else "BODY_TRUNCATED"
        request_left = collector.request_left
        if fault is None and collector.status == 407 and self._forwards(url):
            # The proxy itself answered, so nothing was passed on.
            fault = faults.auth_required()
            request_left = False
        # A length beside chunks lets an origin put one response inside another; whoever does it loses reuse for good.
        if b"content-length" in collector.headers and b"transfer-encoding" in collector.headers:
            self._curl.setopt(pycurl.FRESH_CONNECT, 1)
        if collector.tls_version and info(pycurl.APPCONNECT_TIME_T):
            # A connection that is used again says nothing of its TLS any more.
            self._tls_versions[url.origin] = collector.tls_version
        dns = connect = None
        if self._proxy is None or self._sockets.count != self._sockets_before:
            # Otherwise the hop went over a connection that stood, and those to one proxy have one address.
            dns, connect = _phase(info(pycurl.NAMELOOKUP_TIME_T)), _phase(info(pycurl.CONNECT_TIME_T))
            address = info(pycurl.PRIMARY_IP)
            self._remote_address = _joined(address, info(pycurl.PRIMARY_PORT)) if address else ""
        return Exchange(
            status=collector.status if collector.complete else 0,
            headers=collector.headers,
            body=collector.body if collector.use is Body.READ else b"",
            body_error=body_error,
            fault=fault,
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
        )

    def _fault(self, outcome: Outcome) -> Fault:
        collector = self._collector
        if collector.headers_too_large:
            return faults.HEADERS_TOO_LARGE
        if collector.malformed:
            return faults.MALFORMED_RESPONSE
        info = self._curl.getinfo
        connect_status = info(pycurl.HTTP_CONNECTCODE)
        verify_result = info(pycurl.SSL_VERIFYRESULT)
        # libcurl sets the result to a failure when a handshake begins; a tunnel through HTTP tells it by its status.
        tunnelled = self._proxy is not None and self._proxy.protocol is not Protocol.SOCKS5
        return faults.fault_of(
            faults.Breakdown(
                code=outcome.code,
                words=outcome.message,
                proxied=self._proxy is not None,
                request_left=collector.request_left,
                status=collector.status,
                resolved=info(pycurl.NAMELOOKUP_TIME_T) > 0,
                connected=info(pycurl.CONNECT_TIME_T) > 0,
                connect_status=connect_status,
                socks_code=info(pycurl.PROXY_ERROR),
                origin_tls_begun=200 <= connect_status < 300 if tunnelled else verify_result != 0,
                verify_result=verify_result,
                proxy_verify_result=info(pycurl.PROXY_SSL_VERIFYRESULT),
                dial_refused=self._dial_refused,
            )
        )


def _is_harmless(code: int) -> bool:
    """Says whether a transfer that broke after its headers still tells where it leads; one that took too long fails."""
    return code != pycurl.E_OPERATION_TIMEDOUT


def _is_literal(host: str) -> bool:
    """Says whether a host is an IP literal, and no name."""
    return ":" in host or host.replace(".", "").isdigit()


def _phase(microseconds: int) -> float | None:
    return microseconds / 1_000_000 if microseconds > 0 else None


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Fetcher:
    """Opens sessions; one per process."""

    def __init__(self, driver: Driver, guard: Guard, trust: TlsTrust) -> None:
        """Holds what all sessions have in common."""
        self._driver = driver
        self._guard = guard
        self._trust = trust

    def session(self, proxy: Proxy | None, policy: Policy, until: float | None = None) -> Session:
        """Opens a session for one walk, to be entered as a context manager.

        After `until`, by the monotonic clock, nothing more leaves through the proxy, not even a goodbye.
        """
        return Session(self._driver, self._guard, self._trust, proxy, policy, until=until)
