"""Which names of environment variables are settings, which are misspelt, and which are retired."""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping

from libs.common.process import variables

# What Kubernetes tells every container about a service of its namespace, and Docker about a link: `POOL_MANAGER_PORT`,
# `GATEWAY_SERVICE_HOST`, `TRACER_SERVICE_PORT_GRPC`, `GATEWAY_PORT_8080_TCP_ADDR` …
_OF_KUBERNETES = re.compile(
    r".+_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)
# The SDK of OpenTelemetry reads more variables than we do.
_OF_OTHERS = "OTEL_"
# One edit of the shortest of our names, LOG_LEVEL, leaves this much in common.
_ALIKE = 0.88
# Two edits of one kind each leave parts in common that differ by less than this.
_AS_NEAR = 0.06
# One edit leaves either this many letters at the beginning of a name as they are, or as many at its end.
_ENDS = 4


def violations(
    given: Collection[str], own: Collection[str] = (), *, gone: Collection[str] = (), prefix: str = ""
) -> Iterator[str]:
    """Yields a message for each variable that is meant for a service and is no setting; the nearest setting is named.

    `own` are the settings of this service and `gone` its retired ones, on top of those that `variables` lists; `prefix`
    is its own. A variable with one of our prefixes must be a setting; one without is a misspelling if it is one edit
    away from a setting that is not given itself.
    """
    known = sorted({*own, *variables.KNOWN})
    accepted = {*known, *variables.RETIRED, *gone}
    prefixes = tuple({*variables.PREFIXES, *filter(None, [prefix])})
    present = {name.upper() for name in given}
    for name in sorted(given):
        upper = name.upper()
        if upper in accepted or upper.startswith(_OF_OTHERS) or _OF_KUBERNETES.fullmatch(upper):
            continue
        if upper.startswith(prefixes):
            nearest = _nearest(upper, known)
            verb = "is" if len(nearest) == 1 else "are"
            yield f"{name}: there is no such setting; the nearest {verb} {' and '.join(nearest)}"
        elif (meant := _misspelt(upper, known)) and meant not in present:
            yield f"{name}: this is one letter away from {meant}, which is not set; rename it, or set {meant} too"


def _nearest(name: str, known: Collection[str]) -> list[str]:
    """Returns the setting that is most like a name; two where one edit of either may have made it."""
    best, second = difflib.get_close_matches(name, known, n=2, cutoff=0.0)
    ratios = [difflib.SequenceMatcher(None, setting, name).ratio() for setting in (best, second)]
    return [best, second] if ratios[1] >= max(_ALIKE, ratios[0] - _AS_NEAR) else [best]


def _misspelt(name: str, known: Collection[str]) -> str | None:
    """Returns the setting of which a name without our prefixes is a misspelling."""
    near = [
        setting
        for setting in known
        if abs(len(setting) - len(name)) <= 1
        and (setting.startswith(name[:_ENDS]) or setting.endswith(name[-_ENDS:]))
        and not setting.startswith(_OF_OTHERS)
    ]
    return next(iter(difflib.get_close_matches(name, near, n=1, cutoff=_ALIKE)), None)


def retired(given: Collection[str], own: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yields the retired variables that are set, each with what replaced it; `own` are those of this service."""
    replaced = {**variables.RETIRED, **own}
    for name in sorted(given):
        if name.upper() in replaced:
            yield name, replaced[name.upper()]
