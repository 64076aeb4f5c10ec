"""Rules for the way through a proxy, up to the tunnel, in the order of its phases."""

from collections.abc import Iterator

import pycurl

from services.tracer.fetch.blame import codes, tls
from services.tracer.fetch.failures import Phase, Rule
from services.tracer.model.report import Blame, StopReason

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


def rules() -> Iterator[Rule]:
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
        codes.TIMED_OUT,
    )
    yield Rule(
        "no TCP connection to the proxy in time",
        "PROXY_CONNECT_TIMEOUT",
        Blame.PROXY,
        "the proxy did not accept the connection in time",
        StopReason.HOP_TIMEOUT,
        True,
        frozenset({Phase.CONNECT}),
        codes.TIMED_OUT,
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
    yield from tls.proxy_rules()
    own_start = frozenset({Phase.PROXY_TLS, Phase.GREETING})
    yield Rule(
        "silence of the proxy in its TLS handshake or SOCKS greeting",
        "PROXY_TUNNEL_TIMEOUT",
        Blame.PROXY,
        "the proxy fell silent before it was asked for the target",
        StopReason.HOP_TIMEOUT,
        True,
        own_start,
        codes.TIMED_OUT,
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
            codes.is_no_http,
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
        codes.TIMED_OUT,
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
        codes.TLS | codes.MALFORMED,
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
        codes.TIMED_OUT,
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
        codes=frozenset({codes.E_PROXY}),
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
            codes=frozenset({codes.E_PROXY}),
            when=lambda down, code=code: down.socks_code == code,  # type: ignore[misc] # bound at once
        )
    yield Rule(
        "an answer that is not SOCKS 5",
        "PROXY_PROTOCOL_ERROR",
        Blame.PROXY,
        "the proxy does not speak SOCKS 5",
        StopReason.PROXY_ERROR,
        True,
        codes=frozenset({codes.E_PROXY}),
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
            frozenset({codes.E_PROXY}),
        )
