"""The usual shape of an offer's good chains, and how a chain deviates from it; pure rules.

A shape is learned from clicks: which hosts redirect and how, on which hosts chains end, which parameters landing pages
have. Each is kept with its share, the fraction of recent good chains that had it. After the first chains a shape learns
by time, not by the number of clicks: a lasting change becomes usual after some hours, however busy the offer is. Every
collection is bounded, because strangers write the chains.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from libs.common.enums import OpenEnum

LEARNED_FROM = 20
"""The number of chains from which on a shape is trusted."""

_MEMORY_SECONDS = 6 * 3600.0
_SLOWEST_CHAINS = 50
# A landing host is new if its share is below _RARE; a parameter is lost if its share was at least _ALWAYS. A deviation
# that is flagged stays flagged until half of the chains show it: then it is usual.
_RARE = 0.005
_SELDOM = 0.05
_ALWAYS = 0.95
_USUAL = 0.5
# If the known hosts cover less than this share of chains, hosts differ with every click and none of them is new.
_COVERED = 0.9
# A share below this is dropped.
_FORGOTTEN = 0.001
_OVER_AFTER_CHAINS = 50
_OVER_AFTER_SECONDS = 24 * 3600.0

MOST_HOSTS, MOST_PARAMS, MOST_HOPS, MOST_DRIFTS = 16, 64, 32, 16
MOST_TEXT = 253
"""The longest host or name that is kept, in characters: the limit of DNS names."""

NOT_ALLOWED = "LANDING_NOT_ALLOWED"
"""The failure of a chain that ends on a host that its offer does not allow."""


class DriftKind(OpenEnum):
    """How a chain can deviate from the usual shape."""

    NEW_LANDING_HOST = "NEW_LANDING_HOST"
    LOST_PARAMETER = "LOST_PARAMETER"
    BROKEN_HOP = "BROKEN_HOP"
    BLOCKED_LANDING = "BLOCKED_LANDING"


@dataclass(frozen=True, slots=True)
class Chain:
    """The facts of one chain that its shape is learned from; chains with the same facts are equal."""

    hops: tuple[str, ...]
    """Each host that redirected, and the kind of redirect: "track.example LOCATION"."""
    end_host: str
    """The host on which the chain ended or broke."""
    params: tuple[str, ...] = ()
    """The names of the landing page's parameters that the click did not have; sorted."""
    inbound: tuple[str, ...] = ()
    """The names of the click's parameters; sorted."""
    failure: str = ""
    """The UPPER_SNAKE reason why the chain broke; empty if it led to a landing page."""
    is_blocked: bool = False
    """Whether the landing page keeps robots out."""

    @classmethod
    def of(
        cls,
        hops: Iterable[tuple[str, str]],
        end_host: str,
        *,
        params: Iterable[str] = (),
        inbound: Iterable[str] = (),
        failure: str = "",
        is_blocked: bool = False,
    ) -> "Chain":
        """Builds a chain from (host, redirect kind) pairs and parameter names; drops what exceeds the limits."""
        brought = frozenset(inbound)
        return cls(
            hops=tuple(dict.fromkeys(_short(f"{host} {kind}") for host, kind in hops))[:MOST_HOPS],
            end_host=_short(end_host),
            params=_names(name for name in params if name not in brought),
            inbound=_names(brought),
            failure=failure,
            is_blocked=is_blocked,
        )


@dataclass(frozen=True, slots=True)
class Deviation:
    """One way in which a chain differs from the usual shape."""

    kind: DriftKind
    subject: str
    """The host, or the name of the parameter."""
    detail: str
    """What was seen, in words."""


@dataclass(frozen=True, slots=True)
class Drift:
    """A deviation that recent chains showed."""

    deviation: Deviation
    first: float
    """When it was first seen, in seconds since 1970."""
    last: float
    """When it was last seen, in seconds since 1970."""
    chains: int
    """How many chains showed it."""
    calm: int = 0
    """How many chains in a row have not shown it since."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The usual shape of an offer's chains, and the drifts from it."""

    chains: int = 0
    """How many good chains it was learned from."""
    learned: float = 0.0
    """When it last learned, in seconds since 1970."""
    hops: Mapping[str, float] = field(default_factory=dict)
    """The share, 0 to 1, of each host and redirect kind, as in `Chain.hops`."""
    landing_hosts: Mapping[str, float] = field(default_factory=dict)
    """The share, 0 to 1, of each host on which chains ended."""
    params: Mapping[str, float] = field(default_factory=dict)
    """The share, 0 to 1, of each parameter of the landing pages."""
    blocked: Mapping[str, float] = field(default_factory=dict)
    """The share, 0 to 1, of chains that ended on a page which keeps robots out, by its host."""
    drifts: Sequence[Drift] = ()
    """The newest first."""


def deviations(shape: Shape, chain: Chain) -> Sequence[Deviation]:
    """Returns how a chain deviates from the usual shape; nothing before the shape is trusted."""
    if shape.chains < LEARNED_FROM:
        return ()
    host = chain.end_host
    if chain.failure == NOT_ALLOWED:
        return (Deviation(DriftKind.NEW_LANDING_HOST, host, "chains end here, which the offer does not allow"),)
    if chain.failure:
        return (Deviation(DriftKind.BROKEN_HOP, host, f"chains break here: {chain.failure}"),)
    flagged = {(drift.deviation.kind, drift.deviation.subject) for drift in shape.drifts}
    if _is_new(shape, host, is_flagged=(DriftKind.NEW_LANDING_HOST, host) in flagged):
        usual = _leads_on(shape, host)
        known = max(shape.landing_hosts, key=lambda name: shape.landing_hosts[name])
        detail = f"it used to lead on by {usual}" if usual else f"most ended on {known}"
        return (Deviation(DriftKind.NEW_LANDING_HOST, host, f"chains end here; {detail}"),)
    blocked = _blocked(shape, chain)
    if blocked or chain.is_blocked:
        return blocked
    present = {*chain.params, *chain.inbound}
    return tuple(
        Deviation(DriftKind.LOST_PARAMETER, name, f"landing pages lack it; {share:.0%} had it")
        for name, share in shape.params.items()
        if name not in present and share >= (_USUAL if (DriftKind.LOST_PARAMETER, name) in flagged else _ALWAYS)
    )


def observe(shape: Shape, chains: Mapping[Chain, int], now: float) -> tuple[Shape, Mapping[DriftKind, int]]:
    """Learns from chains, each with its count; returns the new shape, and how many chains drifted, by kind.

    `now` is in seconds since 1970; a time before that of the last call counts as the time of the last call.
    """
    now = max(now, shape.learned)
    drifting: dict[DriftKind, int] = {}
    seen: dict[tuple[DriftKind, str], Drift] = {}
    for chain, times in chains.items():
        found = deviations(shape, chain)
        for deviation in found:
            key = (deviation.kind, deviation.subject)
            already = seen[key].chains if key in seen else 0
            seen[key] = Drift(deviation, now, now, already + times)
        for kind in {deviation.kind for deviation in found}:
            drifting[kind] = drifting.get(kind, 0) + times
    drifts = _drifts(shape, seen, sum(chains.values()))
    good = {chain: times for chain, times in chains.items() if not chain.failure}
    after = replace(_learned(shape, good, now - shape.learned), learned=now)
    return replace(after, drifts=tuple(drift for drift in drifts if not _is_over(after, drift, now))), drifting


def _is_new(shape: Shape, host: str, *, is_flagged: bool) -> bool:
    shares = shape.landing_hosts
    if shares.get(host, 0.0) >= (_USUAL if is_flagged else _RARE):
        return False
    return is_flagged or sum(share for share in shares.values() if share >= _RARE) >= _COVERED


def _blocked(shape: Shape, chain: Chain) -> Sequence[Deviation]:
    """Returns how a landing page deviates that keeps robots out where they got in, or the other way."""
    host = chain.end_host
    part = shape.blocked.get(host, 0.0) / max(shape.landing_hosts.get(host, 0.0), _FORGOTTEN)
    if not chain.is_blocked:
        part = 1 - part
    text = "landing pages keep robots out, as they did not" if chain.is_blocked else "landing pages let robots in again"
    deviation = Deviation(DriftKind.BLOCKED_LANDING, host, text)
    is_flagged = any(drift.deviation == deviation for drift in shape.drifts)
    return (deviation,) if part < (_USUAL if is_flagged else _SELDOM) else ()


def _leads_on(shape: Shape, host: str) -> str:
    """Returns the kind of redirect that a host usually answers with; empty if it usually ends the chain."""
    for hop, share in shape.hops.items():
        name, _, kind = hop.partition(" ")
        if name == host and share >= _USUAL:
            return kind
    return ""


def _drifts(shape: Shape, seen: Mapping[tuple[DriftKind, str], Drift], chains: int) -> Sequence[Drift]:
    """Returns the open drifts after `chains` more chains, of which some showed the drifts in `seen`."""
    new = dict(seen)
    drifts = []
    for drift in shape.drifts:
        again = new.pop((drift.deviation.kind, drift.deviation.subject), None)
        if again is None:
            # Of a kind that only a newer build looks for, chains seen here say nothing.
            calm = drift.calm + chains if drift.deviation.kind.is_known else drift.calm
            drifts.append(replace(drift, calm=calm))
        else:
            drifts.append(replace(again, first=drift.first, chains=drift.chains + again.chains))
    return (*new.values(), *drifts)[:MOST_DRIFTS]


def _is_over(shape: Shape, drift: Drift, now: float) -> bool:
    """Returns whether a drift is over: chains no longer show it, or it has become usual."""
    if drift.calm >= _OVER_AFTER_CHAINS or now - drift.last > _OVER_AFTER_SECONDS:
        return True
    subject = drift.deviation.subject
    match drift.deviation.kind:
        case DriftKind.LOST_PARAMETER:
            return shape.params.get(subject, 0.0) < _USUAL
        case DriftKind.NEW_LANDING_HOST:
            return shape.landing_hosts.get(subject, 0.0) >= _USUAL
        case _:
            # A broken chain never becomes usual; once a page that keeps robots out is, chains show no drift any more.
            # When a drift of a newer build is over is for that build to say.
            return False


def _learned(shape: Shape, good: Mapping[Chain, int], seconds: float) -> Shape:
    """Returns the shape after good chains that came within the last `seconds`."""
    total = sum(good.values())
    if not total:
        return shape
    if shape.chains < LEARNED_FROM:
        keep = shape.chains / (shape.chains + total)
    else:
        # The slower of the two rates: by number of chains and by time.
        keep = max((1 - 1 / _SLOWEST_CHAINS) ** total, math.exp(-seconds / _MEMORY_SECONDS))
    hops, hosts, params, untold, blocked = (Counter[str]() for _ in range(5))
    for chain, times in good.items():
        hosts[chain.end_host] += times
        if chain.is_blocked:
            blocked[chain.end_host] += times
        for part, names in ((hops, chain.hops), (params, chain.params), (untold, chain.inbound)):
            for name in names:
                part[name] += times
    return replace(
        shape,
        chains=shape.chains + total,
        hops=_shares(shape.hops, hops, keep, lambda _: total, most=MOST_HOPS),
        landing_hosts=_shares(shape.landing_hosts, hosts, keep, lambda _: total, most=MOST_HOSTS),
        blocked=_shares(shape.blocked, blocked, keep, lambda _: total, most=MOST_HOSTS),
        # A chain says nothing about a parameter that its click already had.
        params=_shares(shape.params, params, keep, lambda name: total - untold[name], most=MOST_PARAMS),
    )


def _shares(
    known: Mapping[str, float], present: Mapping[str, int], keep: float, informative: Callable[[str], int], *, most: int
) -> Mapping[str, float]:
    """Moves each share towards the fraction of chains that had it, among those that say something about it."""
    shares: dict[str, float] = {}
    for name in {*known, *present}:
        share = known.get(name, 0.0)
        if among := informative(name):
            share = min(1.0, share * keep + (1 - keep) * present.get(name, 0) / among)
        # A name that is present now is kept however small its share, or it could never become usual.
        if share >= _FORGOTTEN or (share and name in present):
            shares[name] = share
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0]))[:most])


def _short(text: str) -> str:
    return text[:MOST_TEXT]


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({name for name in names if 0 < len(name) <= MOST_TEXT}))[:MOST_PARAMS]
