"""The words in which a broken transfer is described and judged: phases, breakdowns, rules, and failures with a name."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from services.tracer.model.report import Blame, Failure, StopReason

NO_TUNNEL_STATUSES = frozenset({400, 403, 405, 501})
"""Answers to CONNECT after which a plain http request may be forwarded instead."""


class Phase(enum.Enum):
    """How far a transfer had come when it broke; the values are how `docs/tracer.md` says it."""

    NAME = "resolving the name"
    CONNECT = "connecting"
    PROXY_TLS = "in the TLS handshake with the proxy"
    GREETING = "before the SOCKS proxy greeted"
    TUNNEL = "while the proxy was to connect to the target"
    TLS = "in the TLS handshake with the target"
    ANSWER = "after the request, before the first byte of a response"
    TRANSFER = "in the response"


@dataclass(frozen=True, slots=True)
class Breakdown:
    """How a transfer broke, as libcurl tells it."""

    code: int
    """The CURLcode."""
    words: str
    """libcurl's own message; never shown, because it may quote secrets."""
    phase: Phase
    proxied: bool
    secure: bool
    """Whether the target is https."""
    connect_status: int = 0
    """The status of the answer to CONNECT; 0 if none came."""
    connect_body: bool = False
    """Whether the answer to CONNECT announced a body, which a 2xx may not have (RFC 9110 9.3.6)."""
    socks_code: int = 0
    """The CURLproxycode."""
    verify_result: int = 0
    """The X509_V_ERR_* of the target's certificate."""
    proxy_verify_result: int = 0
    """The X509_V_ERR_* of the proxy's certificate."""
    dial_refused: bool = False
    """Whether the target policy refused the address that the name resolved to."""


class Rule(NamedTuple):
    """One row of the table: it applies if everything that it names does."""

    situation: str
    """What happened, for the documentation."""
    reason: str
    blame: Blame
    message: str
    stop: StopReason
    proxied: bool | None = None
    phases: frozenset[Phase] = frozenset(Phase)
    codes: frozenset[int] | None = None
    when: Callable[[Breakdown], bool] | None = None

    def applies(self, down: Breakdown) -> bool:
        """Returns whether this row describes the breakdown."""
        return (
            (self.proxied is None or self.proxied == down.proxied)
            and down.phase in self.phases
            and (self.codes is None or down.code in self.codes)
            and (self.when is None or self.when(down))
        )


HEADERS_TOO_LARGE = Failure(
    StopReason.HEADERS_TOO_LARGE, "HEADERS_TOO_LARGE", Blame.TARGET, "the headers are larger than is read"
)
MALFORMED_RESPONSE = Failure(
    StopReason.PROTOCOL_ERROR, "MALFORMED_RESPONSE", Blame.TARGET, "the response is not HTTP as it should be"
)
PROXY_ANSWER_TOO_LARGE = Failure(
    StopReason.PROXY_ERROR,
    "PROXY_PROTOCOL_ERROR",
    Blame.PROXY,
    "the proxy's answer is not HTTP, or larger than is read",
)
AUTH_REQUIRED = Failure(
    StopReason.PROXY_ERROR, "PROXY_AUTH_REQUIRED", Blame.PROXY, "the proxy does not accept the credentials"
)
OWN_ANSWER = Failure(
    StopReason.PROXY_ERROR, "PROXY_OWN_ANSWER", Blame.UNCLEAR, "the proxy answered in place of the target"
)
FORWARDED_ERROR = Failure(
    StopReason.PROXY_ERROR,
    "PROXY_FORWARDED_ERROR",
    Blame.UNCLEAR,
    "the response is an error that the proxy or the target may have sent",
)
