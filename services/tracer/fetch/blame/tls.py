"""Rules for TLS with an https proxy and with the target."""

from collections.abc import Callable, Iterator

import pycurl

from services.tracer.fetch.blame import codes
from services.tracer.fetch.failures import Breakdown, Phase, Rule
from services.tracer.model.report import Blame, StopReason

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


def target_rules(*, proxied: bool) -> Iterator[Rule]:
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
        None if proxied else codes.TLS,
    )


def proxy_rules() -> Iterator[Rule]:
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
        codes.TLS,
    )
