"""Decides what a broken transfer means for a walk: which stop, which reason, and whose failure it was.

The decision is a table, read from top to bottom; `docs/tracer.md` shows it. Blame decides whether an IP loses health
and whether another one is tried, so PROXY and TARGET are for what is certain. The rest is UNCLEAR: what a proxy says of
a target that it cannot reach, it also says of its own dead exit, so only other IPs and other hosts can tell.
"""

from collections.abc import Callable, Iterator

import pycurl

from services.tracer.fetch.failures import MALFORMED_RESPONSE, Breakdown, Phase, Rule
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
_HTTP2_CODES = frozenset({pycurl.E_HTTP2, _E_HTTP2_STREAM})
_MALFORMED_CODES = _HTTP2_CODES | {
    8,  # CURLE_WEIRD_SERVER_REPLY
    pycurl.E_UNSUPPORTED_PROTOCOL,  # HTTP/0.9
    pycurl.E_BAD_CONTENT_ENCODING,
}
_RESET_CODES = frozenset({pycurl.E_RECV_ERROR, pycurl.E_SEND_ERROR, pycurl.E_PARTIAL_FILE})
_TIMED_OUT = frozenset({pycurl.E_OPERATION_TIMEDOUT})

# X509_V_ERR_* of OpenSSL, by reason. It checks the chain up to a trusted root before anything else, so whoever shows
# one of the first group holds a certificate that was once issued for the target.
_FLAWED_CERTIFICATES = {
    "TLS_CERTIFICATE_EXPIRED": (10,),
    "TLS_CERTIFICATE_NOT_YET_VALID": (9,),
    "TLS_CERTIFICATE_REVOKED": (23,),
    "TLS_CERTIFICATE_WEAK": (66, 67, 68),
}
_FOREIGN_CERTIFICATES = {
    "TLS_CERTIFICATE_SELF_SIGNED": (18,),
    "TLS_CERTIFICATE_UNTRUSTED": (2, 19, 20, 21),
    "TLS_CERTIFICATE_WRONG_HOST": (62,),
}

# Replies of RFC 1928 section 6 and its neighbours, as CURLproxycode.
_SOCKS_REPLIES = {
    20: ("SOCKS reply 1, general failure", "SOCKS_GENERAL_FAILURE", Blame.UNCLEAR),
    23: ("SOCKS reply 2, not allowed", "SOCKS_NOT_ALLOWED", Blame.UNCLEAR),
    22: ("SOCKS reply 3, network unreachable", "SOCKS_NETWORK_UNREACHABLE", Blame.TARGET),
    21: ("SOCKS reply 4, host unreachable", "SOCKS_HOST_UNREACHABLE", Blame.TARGET),
    19: ("SOCKS reply 5, connection refused", "SOCKS_CONNECTION_REFUSED", Blame.TARGET),
    24: ("SOCKS reply 6, TTL expired", "SOCKS_TTL_EXPIRED", Blame.TARGET),
    18: ("SOCKS reply 7, command not supported", "SOCKS_COMMAND_NOT_SUPPORTED", Blame.PROXY),
    17: ("SOCKS reply 8, address type not supported", "SOCKS_ADDRESS_TYPE_NOT_SUPPORTED", Blame.PROXY),
    25: ("a SOCKS reply that no standard knows", "PROXY_PROTOCOL_ERROR", Blame.PROXY),
    9: ("a host name that is too long for SOCKS", "PROXY_HOST_TOO_LONG", Blame.TARGET),
}
_SOCKS_BAD_VERSION = 2
_SOCKS_AUTH = frozenset({10, 11, 12, 14, 33})


def _certificates(
    reasons: dict[str, tuple[int, ...]], verify_result: Callable[[Breakdown], int]
) -> Iterator[tuple[str, Callable[[Breakdown], bool]]]:
    for reason, results in reasons.items():

        def is_it(down: Breakdown, reason: str = reason, results: tuple[int, ...] = results) -> bool:
            if down.code != pycurl.E_PEER_FAILED_VERIFICATION:
                return False
            # The name is compared by libcurl, after OpenSSL has accepted the chain.
            wrong_name = "subject name" in down.words
            return (
                wrong_name if reason == "TLS_CERTIFICATE_WRONG_HOST" and wrong_name else verify_result(down) in results
            )

        yield reason, is_it


def _tls_rules(*, proxied: bool) -> Iterator[Rule]:
    """Yields the rows for TLS with the target."""
    unclear = Blame.UNCLEAR if proxied else Blame.TARGET
    through = "through a proxy: " if proxied else "without a proxy: "
    phases = frozenset({Phase.TLS}) if proxied else frozenset(Phase)
    message = "no trusted TLS session with the target was established"
    for reasons, blame, what in (
        (_FLAWED_CERTIFICATES, Blame.TARGET, "a flawed certificate from a trusted issuer"),
        (_FOREIGN_CERTIFICATES, unclear, "a certificate that no trusted issuer gave to the target"),
    ):
        for reason, is_it in _certificates(reasons, lambda down: down.verify_result):
            yield Rule(through + what, reason, blame, message, StopReason.TLS_ERROR, proxied, phases, None, is_it)
    yield Rule(
        f"{through}any other problem with the certificate",
        "TLS_CERTIFICATE_INVALID",
        unclear,
        message,
        StopReason.TLS_ERROR,
        proxied,
        phases,
        frozenset({pycurl.E_PEER_FAILED_VERIFICATION}),
    )
    yield Rule(
        f"{through}the handshake failed or was broken off",
        "TLS_HANDSHAKE_FAILED",
        unclear,
        message,
        StopReason.TLS_ERROR,
        proxied,
        phases,
        None if proxied else _TLS_CODES,
    )


def _proxy_tls_rules() -> Iterator[Rule]:
    """Yields the rows for TLS with an https proxy."""
    phases = frozenset({Phase.PROXY_TLS})
    message = "no trusted TLS session with the proxy was established"
    for reason, is_it in _certificates(
        _FLAWED_CERTIFICATES | _FOREIGN_CERTIFICATES, lambda down: down.proxy_verify_result
    ):
        yield Rule(
            "the certificate of an https proxy",
            f"PROXY_{reason}",
            Blame.PROXY,
            message,
            StopReason.PROXY_ERROR,
            True,
            phases,
            None,
            is_it,
        )
    yield Rule(
        "the certificate of an https proxy, any other problem",
        "PROXY_TLS_CERTIFICATE_INVALID",
        Blame.PROXY,
        message,
        StopReason.PROXY_ERROR,
        True,
        phases,
        frozenset({pycurl.E_PEER_FAILED_VERIFICATION}),
    )
    yield Rule(
        "the handshake with an https proxy failed",
        "PROXY_TLS_HANDSHAKE_FAILED",
        Blame.PROXY,
        message,
        StopReason.PROXY_ERROR,
        True,
        phases,
        _TLS_CODES,
    )


def _socks_rules() -> Iterator[Rule]:
    """Yields the rows for the replies of SOCKS proxies."""
    yield Rule(
        "a SOCKS proxy demands other credentials",
        "PROXY_AUTH_REQUIRED",
        Blame.PROXY,
        "the proxy does not accept the credentials",
        StopReason.PROXY_ERROR,
        True,
        codes=frozenset({_E_PROXY}),
        when=lambda down: down.socks_code in _SOCKS_AUTH,
    )
    for code, (situation, reason, blame) in _SOCKS_REPLIES.items():
        yield Rule(
            situation,
            reason,
            blame,
            "the SOCKS proxy did not connect to the target",
            StopReason.CONNECTION_ERROR if blame is Blame.TARGET else StopReason.PROXY_ERROR,
            True,
            codes=frozenset({_E_PROXY}),
            when=lambda down, code=code: down.socks_code == code,  # type: ignore[misc] # bound at once
        )
    yield Rule(
        "an answer that is not SOCKS 5",
        "PROXY_PROTOCOL_ERROR",
        Blame.PROXY,
        "the proxy does not speak SOCKS 5",
        StopReason.PROXY_ERROR,
        True,
        codes=frozenset({_E_PROXY}),
        when=lambda down: down.socks_code == _SOCKS_BAD_VERSION,
    )
    for phase, situation, blame in (
        (Phase.GREETING, "a SOCKS proxy that closes before it has greeted", Blame.PROXY),
        (Phase.TUNNEL, "a SOCKS proxy that closes or breaks off instead of replying", Blame.UNCLEAR),
    ):
        yield Rule(
            situation,
            "PROXY_PROTOCOL_ERROR",
            blame,
            "the SOCKS proxy did not reply as RFC 1928 demands",
            StopReason.PROXY_ERROR,
            True,
            frozenset({phase}),
            frozenset({_E_PROXY}),
        )


def _is_too_large(down: Breakdown) -> bool:
    return down.code == _E_TOO_LARGE or (down.code == pycurl.E_RECV_ERROR and down.words.startswith("Too large"))


def _is_no_http(down: Breakdown) -> bool:
    return down.code in _MALFORMED_CODES or _is_too_large(down)


def _proxy_rules() -> Iterator[Rule]:
    """Yields the rows for what happens on the way through a proxy, in the order of the phases."""
    yield Rule(
        "the name of the proxy does not resolve: every IP behind that name is the same",
        "PROXY_NAME_UNRESOLVED",
        Blame.UNCLEAR,
        "the name of the proxy has no address",
        StopReason.PROXY_ERROR,
        True,
        codes=frozenset({pycurl.E_COULDNT_RESOLVE_PROXY}),
    )
    yield Rule(
        "the name of the proxy does not resolve in time",
        "PROXY_NAME_TIMEOUT",
        Blame.UNCLEAR,
        "the name of the proxy was not resolved in time",
        StopReason.HOP_TIMEOUT,
        True,
        frozenset({Phase.NAME}),
        _TIMED_OUT,
    )
    yield Rule(
        "no TCP connection to the proxy in time",
        "PROXY_CONNECT_TIMEOUT",
        Blame.PROXY,
        "the proxy did not accept the connection in time",
        StopReason.HOP_TIMEOUT,
        True,
        frozenset({Phase.CONNECT}),
        _TIMED_OUT,
    )
    yield from _socks_rules()
    yield Rule(
        "no TCP connection to the proxy",
        "PROXY_CONNECTION_FAILED",
        Blame.PROXY,
        "no connection to the proxy could be made",
        StopReason.PROXY_ERROR,
        True,
        frozenset({Phase.NAME, Phase.CONNECT}),
    )
    yield from _proxy_tls_rules()
    own_start = frozenset({Phase.PROXY_TLS, Phase.GREETING})
    yield Rule(
        "silence of the proxy in its TLS handshake or SOCKS greeting",
        "PROXY_TUNNEL_TIMEOUT",
        Blame.PROXY,
        "the proxy fell silent before it was asked for the target",
        StopReason.HOP_TIMEOUT,
        True,
        own_start,
        _TIMED_OUT,
    )
    yield Rule(
        "the proxy closes in its TLS handshake or SOCKS greeting",
        "PROXY_CONNECTION_CLOSED",
        Blame.PROXY,
        "the proxy closed the connection before it was asked for the target",
        StopReason.PROXY_ERROR,
        True,
        own_start,
    )
    yield from _tunnel_rules()


def _tunnel_rules() -> Iterator[Rule]:
    """Yields the rows for the answer to CONNECT."""
    tunnel = frozenset({Phase.TUNNEL})
    for situation, reason, blame, message, stop, when in (
        (
            "401 or 407 to CONNECT",
            "PROXY_AUTH_REQUIRED",
            Blame.PROXY,
            "the proxy does not accept the credentials",
            StopReason.PROXY_ERROR,
            # Tinyproxy says 401, which in an answer to CONNECT can only be the proxy's own.
            lambda down: down.connect_status in {401, 407},
        ),
        (
            "502 or 504 to CONNECT",
            "PROXY_CANNOT_REACH_TARGET",
            Blame.UNCLEAR,
            "the proxy answered {status} to CONNECT",
            StopReason.CONNECTION_ERROR,
            lambda down: down.connect_status in {502, 504},
        ),
        (
            "any other status from 300 to CONNECT",
            "PROXY_CONNECT_REFUSED",
            Blame.UNCLEAR,
            "the proxy answered {status} to CONNECT",
            StopReason.PROXY_ERROR,
            lambda down: down.connect_status >= 300,
        ),
        (
            "1xx to CONNECT, which libcurl cannot read past",
            "PROXY_PROTOCOL_ERROR",
            Blame.PROXY,
            "the proxy sent an interim response to CONNECT, which is not supported",
            StopReason.PROXY_ERROR,
            lambda down: 100 <= down.connect_status < 200,
        ),
        (
            "an answer to CONNECT that is not HTTP or larger than is read",
            "PROXY_PROTOCOL_ERROR",
            Blame.PROXY,
            "the proxy's answer is not HTTP, or larger than is read",
            StopReason.PROXY_ERROR,
            _is_no_http,
        ),
    ):
        yield Rule(situation, reason, blame, message, stop, True, tunnel, None, when)
    yield Rule(
        "silence after CONNECT or the SOCKS request",
        "PROXY_TUNNEL_TIMEOUT",
        Blame.UNCLEAR,
        "the proxy did not connect to the target in time",
        StopReason.HOP_TIMEOUT,
        True,
        tunnel,
        _TIMED_OUT,
    )
    yield Rule(
        "the proxy closes instead of answering CONNECT",
        "PROXY_CONNECTION_CLOSED",
        Blame.UNCLEAR,
        "the proxy closed the connection before the target was reached",
        StopReason.PROXY_ERROR,
        True,
        tunnel,
    )
    yield Rule(
        "a body behind a 200 to CONNECT, read as the target's first bytes",
        "PROXY_PROTOCOL_ERROR",
        Blame.PROXY,
        "the proxy sent a body after it had accepted CONNECT",
        StopReason.PROXY_ERROR,
        True,
        frozenset({Phase.TLS, Phase.ANSWER}),
        _TLS_CODES | _MALFORMED_CODES,
        lambda down: down.connect_body,
    )
    yield Rule(
        "silence in the TLS handshake with the target, through a proxy",
        "TLS_TIMEOUT",
        Blame.UNCLEAR,
        "the TLS handshake with the target did not end in time",
        StopReason.HOP_TIMEOUT,
        True,
        frozenset({Phase.TLS}),
        _TIMED_OUT,
    )


_CONNECTION_LOST = (
    (
        "the connection is closed",
        "CONNECTION_CLOSED",
        "the connection was closed before an answer came",
        frozenset({pycurl.E_GOT_NOTHING}),
    ),
    ("the connection is reset", "CONNECTION_RESET", "the connection broke before the whole answer came", _RESET_CODES),
)


def _answer_rules() -> Iterator[Rule]:
    """Yields the rows for what happens after the request was sent."""
    answer = frozenset({Phase.ANSWER})
    # Some proxies accept CONNECT before they connect, and a forwarding one is not known to have reached anybody.
    yield Rule(
        "through a proxy, http: silence after the request",
        "RESPONSE_TIMEOUT",
        Blame.UNCLEAR,
        "no response came in time",
        StopReason.HOP_TIMEOUT,
        True,
        answer,
        _TIMED_OUT,
        lambda down: not down.secure,
    )
    for situation, reason, message, codes in _CONNECTION_LOST:
        yield Rule(
            f"through a proxy, http: {situation} after the request, before a byte came",
            reason,
            Blame.UNCLEAR,
            message,
            StopReason.CONNECTION_ERROR,
            True,
            answer,
            codes,
            lambda down: not down.secure and not _is_too_large(down),
        )
    for phase, situation, reason in (
        (Phase.ANSWER, "silence after the request, without a proxy or inside TLS", "RESPONSE_TIMEOUT"),
        (Phase.TRANSFER, "silence within a response", "TRANSFER_TIMEOUT"),
    ):
        yield Rule(
            situation,
            reason,
            Blame.TARGET,
            "the response did not come in time",
            StopReason.HOP_TIMEOUT,
            None,
            frozenset({phase}),
            _TIMED_OUT,
        )


def _target_rules() -> Iterator[Rule]:
    """Yields the rows for what only the target can have caused."""
    for phase, reason in ((Phase.NAME, "NAME_TIMEOUT"), (Phase.CONNECT, "CONNECT_TIMEOUT"), (Phase.TLS, "TLS_TIMEOUT")):
        yield Rule(
            f"without a proxy: too slow {phase.value}",
            reason,
            Blame.TARGET,
            "the connection was not established in time",
            StopReason.HOP_TIMEOUT,
            False,
            frozenset({phase}),
            _TIMED_OUT,
        )
    # An origin may refuse a session that stands already, as TLS 1.3 does for a missing client certificate.
    yield Rule(
        "inside TLS through a proxy: the target ends the session",
        "TLS_HANDSHAKE_FAILED",
        Blame.TARGET,
        "the target ended the TLS session",
        StopReason.TLS_ERROR,
        True,
        frozenset({Phase.ANSWER, Phase.TRANSFER}),
        _TLS_CODES,
    )
    yield from _tls_rules(proxied=False)
    yield Rule(
        "headers larger than is read",
        "HEADERS_TOO_LARGE",
        Blame.TARGET,
        "the headers are larger than is read",
        StopReason.HEADERS_TOO_LARGE,
        when=_is_too_large,
    )
    yield Rule(
        "without a proxy: the name does not resolve",
        "NAME_UNRESOLVED",
        Blame.TARGET,
        "the name of the target has no address",
        StopReason.CONNECTION_ERROR,
        codes=frozenset({pycurl.E_COULDNT_RESOLVE_HOST}),
    )
    yield Rule(
        "without a proxy: no TCP connection",
        "CONNECTION_FAILED",
        Blame.TARGET,
        "no connection to the target could be made",
        StopReason.CONNECTION_ERROR,
        codes=frozenset({pycurl.E_COULDNT_CONNECT}),
    )
    for situation, reason, message, codes in _CONNECTION_LOST:
        yield Rule(
            f"{situation} without a proxy, inside TLS, or within a response",
            reason,
            Blame.TARGET,
            message,
            StopReason.CONNECTION_ERROR,
            codes=codes,
        )
    yield Rule(
        "two different Locations",
        "CONFLICTING_LOCATION",
        Blame.TARGET,
        "the response has two different Locations",
        StopReason.CONFLICTING_LOCATION,
        codes=_MALFORMED_CODES,
        when=lambda down: down.words.startswith("Multiple Location"),
    )
    for situation, reason, codes in (
        ("a broken HTTP/2 stream", "HTTP2_ERROR", _HTTP2_CODES),
        ("a body that cannot be decoded", "BAD_CONTENT_ENCODING", frozenset({pycurl.E_BAD_CONTENT_ENCODING})),
        ("a response that is not HTTP", "MALFORMED_RESPONSE", _MALFORMED_CODES),
    ):
        yield Rule(
            situation,
            reason,
            Blame.TARGET,
            MALFORMED_RESPONSE.message,
            StopReason.PROTOCOL_ERROR,
            codes=codes,
        )


RULES = (
    Rule(
        "without a proxy: the name leads to an address that is not public",
        "SPECIAL_ADDRESS",
        Blame.TARGET,
        "the name leads to an address that is not public",
        StopReason.REFUSED_TARGET,
        when=lambda down: down.dial_refused,
    ),
    Rule(
        "a host that cannot be a name",
        "NAME_UNRESOLVED",
        Blame.TARGET,
        "the name of the target is none that could be resolved",
        StopReason.CONNECTION_ERROR,
        codes=frozenset({pycurl.E_URL_MALFORMAT}),
    ),
    *_proxy_rules(),
    *_tls_rules(proxied=True),
    *_answer_rules(),
    *_target_rules(),
)
"""The table; the first row that applies decides."""


def failure_of(down: Breakdown) -> Failure:
    """Returns what a transfer means that broke before its headers were complete, or that took too long."""
    rule = next((rule for rule in RULES if rule.applies(down)), None)
    if rule is None:
        message = f"the engine failed in a way it should not: {down.code}"
        return Failure(StopReason.INTERNAL, "ENGINE_FAILED", Blame.CALLER, message)
    return Failure(rule.stop, rule.reason, rule.blame, rule.message.replace("{status}", str(down.connect_status)))
