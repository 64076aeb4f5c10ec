"""How the clicks of an offer fare: counts and times of the last hour, and the shape of its chains; pure rules."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.gateway.drift.shape import Chain, Deviation, Drift, DriftKind, Shape, observe

SLOT_SECONDS = 300
PERIOD_SECONDS = 3600.0
"""How far back counts and times reach, to within one slot."""

# Times are counted in classes that are 10 % wide, from a millisecond to three minutes.
_SHORTEST, _WIDTH, _MOST_CLASS = 0.001, 1.1, 127
CLASSES = _MOST_CLASS + 1
"""How many classes of times there are."""
# What is kept of the chains of an offer between two looks; chains of one offer hardly differ.
_MOST_CHAINS = 200


def class_of(seconds: float) -> str:
    """Returns the class that a time is counted in: a number, as text because JSON wants it so."""
    if seconds <= _SHORTEST:
        return "0"
    return str(min(_MOST_CLASS, int(math.log(seconds / _SHORTEST) / math.log(_WIDTH))))


def quantile(classes: Mapping[str, int], part: float) -> float | None:
    """Returns the time that a part of all (0 to 1) kept, to within 5 %; None if nothing was counted."""
    wanted = part * sum(classes.values())
    seen = 0
    for number in sorted(classes, key=int):
        seen += classes[number]
        if seen >= wanted and seen:
            return float(_SHORTEST * _WIDTH ** (int(number) + 0.5))
    return None


@dataclass(slots=True)
class Fresh:
    """What happened to the clicks of one offer since the last look."""

    clicks: int = 0
    fallbacks: int = 0
    times: Counter[str] = field(default_factory=Counter)
    chains: Counter[Chain] = field(default_factory=Counter)
    last_landing: str = ""

    def chain(self, chain: Chain) -> None:
        """Counts a chain, unless too many different ones wait to be looked at."""
        if chain in self.chains or len(self.chains) < _MOST_CHAINS:
            self.chains[chain] += 1

    def add(self, other: "Fresh") -> None:
        """Takes in what happened later."""
        self.clicks += other.clicks
        self.fallbacks += other.fallbacks
        self.times.update(other.times)
        for chain, times in other.chains.items():
            if chain in self.chains or len(self.chains) < _MOST_CHAINS:
                self.chains[chain] += times
        self.last_landing = other.last_landing or self.last_landing


@dataclass(frozen=True, slots=True)
class Slot:
    """Five minutes of an offer."""

    clicks: int = 0
    fallbacks: int = 0
    times: Mapping[str, int] = field(default_factory=dict)
    """How many traces of each class of times."""


@dataclass(frozen=True, slots=True)
class Health:
    """How an offer fares; moments are seconds since 1970."""

    slots: Mapping[int, Slot] = field(default_factory=dict)
    """By the moment at which they began."""
    shape: Shape = field(default_factory=Shape)
    last_landing: str = ""
    last_landing_time: float = 0.0

    def after(self, fresh: Fresh, now: float) -> tuple["Health", Mapping[DriftKind, int]]:
        """Returns the health after what happened, and how many chains differed from what is usual, and in what."""
        begin = int(now // SLOT_SECONDS) * SLOT_SECONDS
        slot = self.slots.get(begin, Slot())
        times = dict(slot.times)
        for number, traces in fresh.times.items():
            times[number] = times.get(number, 0) + traces
        slots = {start: known for start, known in self.slots.items() if start > now - PERIOD_SECONDS - SLOT_SECONDS}
        slots[begin] = Slot(slot.clicks + fresh.clicks, slot.fallbacks + fresh.fallbacks, times)
        shape, drifting = observe(self.shape, fresh.chains, now) if fresh.chains else (self.shape, {})
        landed = bool(fresh.last_landing)
        return Health(
            slots=slots,
            shape=shape,
            last_landing=fresh.last_landing if landed else self.last_landing,
            last_landing_time=now if landed else self.last_landing_time,
        ), drifting


@dataclass(frozen=True, slots=True)
class OfferHealth:
    """What operators are told of an offer; times are in seconds, moments in seconds since 1970."""

    offer: str
    clicks: int
    fallbacks: int
    times: Mapping[str, int]
    drifts: Sequence[Drift]
    shape: Shape
    last_landing: str
    last_landing_time: float

    @classmethod
    def of(cls, offer: str, health: Health, now: float) -> "OfferHealth":
        """Sums up the last hour."""
        slots = [slot for start, slot in health.slots.items() if start > now - PERIOD_SECONDS]
        times: Counter[str] = Counter()
        for slot in slots:
            times.update(slot.times)
        return cls(
            offer=offer,
            clicks=sum(slot.clicks for slot in slots),
            fallbacks=sum(slot.fallbacks for slot in slots),
            times=times,
            drifts=health.shape.drifts,
            shape=health.shape,
            last_landing=health.last_landing,
            last_landing_time=health.last_landing_time,
        )

    @property
    def fallback_share(self) -> float:
        """The part of the clicks that got the fallback, 0 to 1; 0 without clicks."""
        return self.fallbacks / self.clicks if self.clicks else 0.0

    @property
    def traces(self) -> int:
        """How many traces ended well."""
        return sum(self.times.values())

    def trace_time(self, part: float) -> float | None:
        """Returns the time from click to landing page that a part of the traces kept; None without traces."""
        return quantile(self.times, part)


def to_json(health: Health) -> dict[str, object]:
    """Renders the state for the database."""
    shape = health.shape
    return {
        "slots": {str(start): [slot.clicks, slot.fallbacks, slot.times] for start, slot in health.slots.items()},
        "chains": shape.chains,
        "learned": shape.learned,
        "hops": dict(shape.hops),
        "landing_hosts": dict(shape.landing_hosts),
        "params": dict(shape.params),
        "drifts": [
            {
                "kind": drift.deviation.kind,
                "subject": drift.deviation.subject,
                "detail": drift.deviation.detail,
                "first": drift.first,
                "last": drift.last,
                "chains": drift.chains,
                "calm": drift.calm,
            }
            for drift in shape.drifts
        ],
        "last_landing": health.last_landing,
        "last_landing_time": health.last_landing_time,
    }


def of_json(state: Mapping[str, object] | object) -> Health:
    """Reads what `to_json` wrote; an empty state is that of an offer without clicks."""
    match state:
        case {
            "slots": dict(slots),
            "chains": int(chains),
            "learned": float() | int() as learned,
            "hops": dict(hops),
            "landing_hosts": dict(landing_hosts),
            "params": dict(params),
            "drifts": list(drifts),
            "last_landing": str(last_landing),
            "last_landing_time": float() | int() as last_landing_time,
        }:
            return Health(
                slots={int(start): Slot(*counts) for start, counts in slots.items()},
                shape=Shape(
                    chains=chains,
                    learned=learned,
                    hops=hops,
                    landing_hosts=landing_hosts,
                    params=params,
                    drifts=tuple(_drift(entry) for entry in drifts),
                ),
                last_landing=last_landing,
                last_landing_time=last_landing_time,
            )
    return Health()


def _drift(entry: Mapping[str, object]) -> Drift:
    match entry:
        case {
            "kind": str(kind),
            "subject": str(subject),
            "detail": str(detail),
            "first": float() | int() as first,
            "last": float() | int() as last,
            "chains": int(chains),
            "calm": int(calm),
        }:
            return Drift(Deviation(DriftKind(kind), subject, detail), first, last, chains, calm)
    raise ValueError("this is no drift")
