"""Decides what a broken transfer means for a walk: which stop, which reason, and whose failure it was.

The decision is a table, read from top to bottom; `docs/tracer.md` shows it. Blame decides whether an IP loses health
and whether another one is tried, so PROXY and TARGET are for what is certain. The rest is UNCLEAR: what a proxy says of
a target that it cannot reach, it also says of its own dead exit, so only other IPs and other hosts can tell.
"""

import pycurl

from services.tracer.fetch.blame import proxy, target, tls
from services.tracer.fetch.failures import Breakdown, Rule
from services.tracer.model.report import Blame, Failure, StopReason

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
    *proxy.rules(),
    *tls.target_rules(proxied=True),
    *target.answer_rules(),
    *target.target_rules(),
)
"""The table; the first row that applies decides."""


def failure_of(down: Breakdown) -> Failure:
    """Returns what a transfer means that broke before its headers were complete, or that took too long."""
    rule = next((rule for rule in RULES if rule.applies(down)), None)
    if rule is None:
        message = f"the engine failed in a way it should not: {down.code}"
        return Failure(StopReason.INTERNAL, "ENGINE_FAILED", Blame.CALLER, message)
    return Failure(rule.stop, rule.reason, rule.blame, rule.message.replace("{status}", str(down.connect_status)))
