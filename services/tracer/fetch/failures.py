"""What the errors of libcurl mean for a walk: which stop, which reason, and whose failure.

Blame decides whether an IP loses health and whether another one is tried, so doubt goes to the target: a broken offer
must not empty the pool. What a proxy says about the way behind it (502 and 504 to CONNECT, SOCKS 3 to 6) is about the
target; what it says about itself or about us (407, 403, 429, 503, SOCKS 1, 2, 7, 8) is about the proxy.
"""

from dataclasses import dataclass, replace

import pycurl

from services.tracer.model.report import Blame, Failure, StopReason

# Codes that pycurl has no names for.
_E_PROXY = 97
_E_HTTP2_STREAM = 92
_E_SSL_CLIENTCERT = 98
_E_TOO_LARGE = 100

_TLS_CODES = frozenset(
    {
        pycurl.E_SSL_CONNECT_ERROR,
        pycurl.E_PEER_FAILED_VERIFICATION,
        pycurl.E_SSL_CERTPROBLEM,
        pycurl.E_SSL_CIPHER,
        pycurl.E_SSL_ISSUER_ERROR,
        pycurl.E_SSL_INVALIDCERTSTATUS,
        pycurl.E_USE_SSL_FAILED,
        _E_SSL_CLIENTCERT,
    }
)
_MALFORMED_CODES = frozenset(
    {
        8,  # CURLE_WEIRD_SERVER_REPLY
        pycurl.E_UNSUPPORTED_PROTOCOL,  # HTTP/0.9
        pycurl.E_HTTP2,
        _E_HTTP2_STREAM,
        pycurl.E_BAD_CONTENT_ENCODING,
    }
)

_CONNECTION = {
    pycurl.E_COULDNT_RESOLVE_HOST: ("NAME_UNRESOLVED", "the name of the target has no address"),
    pycurl.E_URL_MALFORMAT: ("NAME_UNRESOLVED", "the name of the target is none that could be resolved"),
    pycurl.E_COULDNT_CONNECT: ("CONNECTION_FAILED", "no connection to the target could be made"),
    pycurl.E_GOT_NOTHING: ("CONNECTION_CLOSED", "the connection was closed before an answer came"),
    pycurl.E_RECV_ERROR: ("CONNECTION_RESET", "the connection broke before the whole answer came"),
    pycurl.E_SEND_ERROR: ("CONNECTION_RESET", "the connection broke before the request had left"),
    pycurl.E_PARTIAL_FILE: ("CONNECTION_RESET", "the connection broke before the whole answer came"),
}

# X509_V_ERR_* of OpenSSL.
_CERTIFICATE_REASONS = {
    2: "TLS_CERTIFICATE_UNTRUSTED",
    9: "TLS_CERTIFICATE_NOT_YET_VALID",
    10: "TLS_CERTIFICATE_EXPIRED",
    18: "TLS_CERTIFICATE_SELF_SIGNED",
    19: "TLS_CERTIFICATE_UNTRUSTED",
    20: "TLS_CERTIFICATE_UNTRUSTED",
    21: "TLS_CERTIFICATE_UNTRUSTED",
    23: "TLS_CERTIFICATE_REVOKED",
    62: "TLS_CERTIFICATE_WRONG_HOST",
    66: "TLS_CERTIFICATE_WEAK",
    67: "TLS_CERTIFICATE_WEAK",
    68: "TLS_CERTIFICATE_WEAK",
}

# CURLproxycode: reason and blame. The replies of RFC 1928 section 6 are among them.
_P, _T = Blame.PROXY, Blame.TARGET
_SOCKS = {
    9: ("PROXY_HOST_TOO_LONG", _T),
    10: ("PROXY_AUTH_REQUIRED", _P),
    11: ("PROXY_AUTH_REQUIRED", _P),
    12: ("PROXY_AUTH_REQUIRED", _P),
    14: ("PROXY_AUTH_REQUIRED", _P),
    17: ("SOCKS_ADDRESS_TYPE_NOT_SUPPORTED", _P),
    18: ("SOCKS_COMMAND_NOT_SUPPORTED", _P),
    19: ("SOCKS_CONNECTION_REFUSED", _T),
    20: ("SOCKS_GENERAL_FAILURE", _P),
    21: ("SOCKS_HOST_UNREACHABLE", _T),
    22: ("SOCKS_NETWORK_UNREACHABLE", _T),
    23: ("SOCKS_NOT_ALLOWED", _P),
    24: ("SOCKS_TTL_EXPIRED", _T),
    33: ("PROXY_AUTH_REQUIRED", _P),
}


HEADERS_TOO_LARGE = Failure(
    StopReason.HEADERS_TOO_LARGE, "HEADERS_TOO_LARGE", _T, "the headers are larger than is read"
)
MALFORMED_RESPONSE = Failure(
    StopReason.PROTOCOL_ERROR, "MALFORMED_RESPONSE", _T, "the response is not HTTP as it should be"
)


@dataclass(frozen=True, slots=True)
class Breakdown:
    """How a transfer broke, as libcurl knows it."""

    code: int
    """The CURLcode."""
    words: str
    """libcurl's own message; never shown, because it may quote what must not be."""
    proxied: bool
    request_left: bool
    """Whether the connection stood and the request was about to be sent."""
    status: int
    """The status of the response, 0 if none came."""
    resolved: bool
    connected: bool
    """Whether the TCP connection stood: to the proxy, where there is one."""
    connect_status: int
    """The status of the answer to CONNECT, 0 if none came."""
    socks_code: int
    origin_tls_begun: bool
    verify_result: int
    proxy_verify_result: int
    dial_refused: bool
    """Whether the targets refused an address at the moment it was to be dialled."""


def failure_of(down: Breakdown) -> Failure:
    """Returns what a broken transfer means; for a response whose headers were not whole, or that took too long."""
    if down.dial_refused:
        return Failure(
            StopReason.REFUSED_TARGET, "SPECIAL_ADDRESS", _T, "the name leads to an address that is not public"
        )
    if down.code == pycurl.E_OPERATION_TIMEDOUT:
        return _timeout(down)
    if not down.request_left and down.proxied:
        return _before_the_request_by_proxy(down)
    if down.code in _TLS_CODES:
        return _tls(down)
    if _is_too_large(down):
        return HEADERS_TOO_LARGE
    if down.code in _CONNECTION:
        return _target(*_CONNECTION[down.code])
    if down.code in _MALFORMED_CODES:
        return _malformed(down)
    return Failure(
        StopReason.INTERNAL, "ENGINE_FAILED", Blame.CALLER, f"the engine failed in a way it should not: {down.code}"
    )


def _target(reason: str, message: str) -> Failure:
    return Failure(StopReason.CONNECTION_ERROR, reason, _T, message)


def _proxy(reason: str, message: str) -> Failure:
    return Failure(StopReason.PROXY_ERROR, reason, _P, message)


def _is_too_large(down: Breakdown) -> bool:
    return down.code == _E_TOO_LARGE or (down.code == pycurl.E_RECV_ERROR and down.words.startswith("Too large"))


def _malformed(down: Breakdown) -> Failure:
    if down.words.startswith("Multiple Location"):
        return Failure(
            StopReason.CONFLICTING_LOCATION, "CONFLICTING_LOCATION", _T, "the response has two different Locations"
        )
    if down.code in {pycurl.E_HTTP2, _E_HTTP2_STREAM}:
        return replace(MALFORMED_RESPONSE, reason="HTTP2_ERROR")
    if down.code == pycurl.E_BAD_CONTENT_ENCODING:
        return replace(MALFORMED_RESPONSE, reason="BAD_CONTENT_ENCODING")
    return MALFORMED_RESPONSE


def _tls(down: Breakdown) -> Failure:
    reason = _certificate_reason(down.code, down.verify_result, down.words)
    return Failure(StopReason.TLS_ERROR, reason, _T, "no trusted TLS session with the target came about")


def _certificate_reason(code: int, verify_result: int, words: str) -> str:
    if code != pycurl.E_PEER_FAILED_VERIFICATION:
        return "TLS_HANDSHAKE_FAILED"
    if "subject name" in words:
        return "TLS_CERTIFICATE_WRONG_HOST"
    return _CERTIFICATE_REASONS.get(verify_result, "TLS_CERTIFICATE_INVALID")


def _before_the_request_by_proxy(down: Breakdown) -> Failure:
    if down.code == pycurl.E_COULDNT_RESOLVE_PROXY:
        return _proxy("PROXY_NAME_UNRESOLVED", "the name of the proxy has no address")
    if down.code == pycurl.E_URL_MALFORMAT:
        return _target(*_CONNECTION[down.code])
    if down.code == _E_PROXY:
        return _socks(down)
    if down.connect_status >= 300:
        return _connect_refused(down.connect_status)
    if not down.connected:
        return _proxy("PROXY_CONNECTION_FAILED", "no connection to the proxy could be made")
    if _is_too_large(down) or down.code in _MALFORMED_CODES:
        return _proxy("PROXY_PROTOCOL_ERROR", "the proxy's answer is not HTTP, or larger than is read")
    if down.origin_tls_begun:
        return _tls(down)
    if down.code in _TLS_CODES:
        reason = _certificate_reason(down.code, down.proxy_verify_result, down.words)
        return _proxy(f"PROXY_{reason}", "no trusted TLS session with the proxy came about")
    return _proxy("PROXY_CONNECTION_CLOSED", "the proxy closed the connection before the target was reached")


def _socks(down: Breakdown) -> Failure:
    reason, blame = _SOCKS.get(down.socks_code, ("PROXY_PROTOCOL_ERROR", _P))
    stop = StopReason.PROXY_ERROR if blame is _P else StopReason.CONNECTION_ERROR
    return Failure(stop, reason, blame, "the SOCKS proxy did not connect to the target")


def _connect_refused(status: int) -> Failure:
    # Tinyproxy says 401, which in an answer to CONNECT can only be the proxy's own.
    if status in {401, 407}:
        return auth_required()
    if status in {502, 504}:
        return _target("PROXY_CANNOT_REACH_TARGET", f"the proxy answered {status} to CONNECT")
    return _proxy("PROXY_CONNECT_REFUSED", f"the proxy answered {status} to CONNECT")


def auth_required() -> Failure:
    """Returns the failure of a proxy that does not take our credentials."""
    return _proxy("PROXY_AUTH_REQUIRED", "the proxy does not take the credentials")


def _timeout(down: Breakdown) -> Failure:
    if down.request_left:
        reason = "RESPONSE_TIMEOUT" if not down.status else "TRANSFER_TIMEOUT"
        return Failure(StopReason.HOP_TIMEOUT, reason, _T, "the response did not come in time")
    if down.origin_tls_begun:
        return Failure(StopReason.HOP_TIMEOUT, "TLS_TIMEOUT", _T, "the TLS handshake did not end in time")
    if not down.proxied:
        reason = "CONNECT_TIMEOUT" if down.resolved else "NAME_TIMEOUT"
        return Failure(StopReason.HOP_TIMEOUT, reason, _T, "the connection did not come about in time")
    reason = "PROXY_TUNNEL_TIMEOUT" if down.connected else "PROXY_CONNECT_TIMEOUT"
    return Failure(StopReason.HOP_TIMEOUT, reason, _P, "the proxy did not connect to the target in time")
