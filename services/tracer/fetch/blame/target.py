"""Rules for what happens after the request was sent, and for what only the target can have caused."""

from collections.abc import Iterator

import pycurl

from services.tracer.fetch.blame import codes, tls
from services.tracer.fetch.failures import MALFORMED_RESPONSE, Phase, Rule
from services.tracer.model.report import Blame, StopReason

_CONNECTION_LOST = (
    (
        "the connection is closed",
        "CONNECTION_CLOSED",
        "the connection was closed before an answer came",
        frozenset({pycurl.E_GOT_NOTHING}),
    ),
    ("the connection is reset", "CONNECTION_RESET", "the connection broke before the whole answer came", codes.RESET),
)


def answer_rules() -> Iterator[Rule]:
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
        codes.TIMED_OUT,
        lambda down: not down.secure,
    )
    for situation, reason, message, lost in _CONNECTION_LOST:
        yield Rule(
            f"through a proxy, http: {situation} after the request, before a byte came",
            reason,
            Blame.UNCLEAR,
            message,
            StopReason.CONNECTION_ERROR,
            True,
            answer,
            lost,
            lambda down: not down.secure and not codes.is_too_large(down),
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
            codes.TIMED_OUT,
        )


def target_rules() -> Iterator[Rule]:
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
            codes.TIMED_OUT,
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
        codes.TLS,
    )
    yield from tls.target_rules(proxied=False)
    yield Rule(
        "headers larger than is read",
        "HEADERS_TOO_LARGE",
        Blame.TARGET,
        "the headers are larger than is read",
        StopReason.HEADERS_TOO_LARGE,
        when=codes.is_too_large,
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
    for situation, reason, message, lost in _CONNECTION_LOST:
        yield Rule(
            f"{situation} without a proxy, inside TLS, or within a response",
            reason,
            Blame.TARGET,
            message,
            StopReason.CONNECTION_ERROR,
            codes=lost,
        )
    yield Rule(
        "two different Locations",
        "CONFLICTING_LOCATION",
        Blame.TARGET,
        "the response has two different Locations",
        StopReason.CONFLICTING_LOCATION,
        codes=codes.MALFORMED,
        when=lambda down: down.words.startswith("Multiple Location"),
    )
    for situation, reason, wrong in (
        ("a broken HTTP/2 stream", "HTTP2_ERROR", codes.HTTP2),
        ("a body that cannot be decoded", "BAD_CONTENT_ENCODING", frozenset({pycurl.E_BAD_CONTENT_ENCODING})),
        ("a response that is not HTTP", "MALFORMED_RESPONSE", codes.MALFORMED),
    ):
        yield Rule(
            situation,
            reason,
            Blame.TARGET,
            MALFORMED_RESPONSE.message,
            StopReason.PROTOCOL_ERROR,
            codes=wrong,
        )
