"""The health of an offer: counts and trace times of the last hour, and the shape of its chains; pure rules."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.gateway.drift.shape import Chain, Deviation, Drift, DriftKind, Shape, observe

SLOT_SECONDS = 300
"""The length of a slot, in seconds."""
PERIOD_SECONDS = 3600.0
"""How far back counts and times reach, in seconds, to within one slot."""

# Times are counted in classes that are 10 % wide, from a millisecond to three minutes.
_SHORTEST_SECONDS, _WIDTH, _LAST_CLASS = 0.001, 1.1, 127
CLASSES = _LAST_CLASS + 1
"""The number of classes of times."""
# How many different chains of an offer are counted between two flushes; chains of one offer hardly differ.
_MAX_CHAINS = 200


def time_class(seconds: float) -> str:
    """Returns the class of a time in seconds: "0" to "127", as text because it is a key of a JSON object."""
    if seconds <= _SHORTEST_SECONDS:
        return "0"
    return str(min(_LAST_CLASS, int(math.log(seconds / _SHORTEST_SECONDS) / math.log(_WIDTH))))


def quantile(classes: Mapping[str, int], q: float) -> float | None:
    """Returns the q-quantile (q from 0 to 1) in seconds, within 5 %; None without samples."""
    wanted = q * sum(classes.values())
    seen = 0
    for number in sorted(classes, key=int):
        seen += classes[number]
        if seen >= wanted and seen:
            return float(_SHORTEST_SECONDS * _WIDTH ** (int(number) + 0.5))
    return None


@dataclass(slots=True)
class Activity:
    """What happened to the clicks of one offer since the last flush."""

    clicks: int = 0
    fallbacks: int = 0
    times: Counter[str] = field(default_factory=Counter)
    """The number of traces by class of time."""
    chains: Counter[Chain] = field(default_factory=Counter)
    last_landing: str = ""
    """The URL of the last landing page, without query and fragment; empty if there was none."""

    def count_chain(self, chain: Chain) -> None:
        """Counts a chain; drops it if it is new and 200 different ones are counted already."""
        if chain in self.chains or len(self.chains) < _MAX_CHAINS:
            self.chains[chain] += 1

    def add(self, other: "Activity") -> None:
        """Adds later activity of the same offer."""
        self.clicks += other.clicks
        self.fallbacks += other.fallbacks
        self.times.update(other.times)
        for chain, times in other.chains.items():
            if chain in self.chains or len(self.chains) < _MAX_CHAINS:
                self.chains[chain] += times
        self.last_landing = other.last_landing or self.last_landing


@dataclass(frozen=True, slots=True)
class Slot:
    """The clicks of an offer in five minutes."""

    clicks: int = 0
    fallbacks: int = 0
    times: Mapping[str, int] = field(default_factory=dict)
    """The number of traces by class of time."""


@dataclass(frozen=True, slots=True)
class Health:
    """The stored health of an offer."""

    slots: Mapping[int, Slot] = field(default_factory=dict)
    """By start, in seconds since 1970."""
    shape: Shape = field(default_factory=Shape)
    last_landing: str = ""
    """The URL of the last landing page, without query and fragment; empty before the first."""
    last_landing_time: float = 0.0
    """In seconds since 1970."""

    def after(self, activity: Activity, now: float) -> tuple["Health", Mapping[DriftKind, int]]:
        """Returns the health with activity added, and how many chains drifted, by kind; `now` in seconds since 1970."""
        begin = int(now // SLOT_SECONDS) * SLOT_SECONDS
        slot = self.slots.get(begin, Slot())
        times = dict(slot.times)
        for number, traces in activity.times.items():
            times[number] = times.get(number, 0) + traces
        slots = {start: known for start, known in self.slots.items() if start > now - PERIOD_SECONDS - SLOT_SECONDS}
        slots[begin] = Slot(slot.clicks + activity.clicks, slot.fallbacks + activity.fallbacks, times)
        shape, drifting = observe(self.shape, activity.chains, now) if activity.chains else (self.shape, {})
        landed = bool(activity.last_landing)
        return Health(
            slots=slots,
            shape=shape,
            last_landing=activity.last_landing if landed else self.last_landing,
            last_landing_time=now if landed else self.last_landing_time,
        ), drifting


@dataclass(frozen=True, slots=True)
class OfferHealth:
    """The health of an offer over the last hour, as operators see it."""

    offer: str
    clicks: int
    fallbacks: int
    times: Mapping[str, int]
    """The number of successful traces by class of time."""
    drifts: Sequence[Drift]
    """The newest first."""
    shape: Shape
    last_landing: str
    """The URL of the last landing page, without query and fragment; empty before the first."""
    last_landing_time: float
    """In seconds since 1970."""

    @classmethod
    def of(cls, offer: str, health: Health, now: float) -> "OfferHealth":
        """Sums up the hour before `now`, in seconds since 1970."""
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
        """The share of clicks answered with the fallback, 0 to 1; 0 without clicks."""
        return self.fallbacks / self.clicks if self.clicks else 0.0

    @property
    def traces(self) -> int:
        """The number of successful traces."""
        return sum(self.times.values())

    def trace_time(self, q: float) -> float | None:
        """Returns the q-quantile of the time from click to landing page in seconds, within 5 %; None without traces."""
        return quantile(self.times, q)


def health_to_json(health: Health) -> dict[str, object]:
    """Renders health as the document of `clicks.offer_health.state`."""
    shape = health.shape
    return {
        "slots": {str(start): [slot.clicks, slot.fallbacks, slot.times] for start, slot in health.slots.items()},
        "chains": shape.chains,
        "learned": shape.learned,
        "hops": dict(shape.hops),
        "landing_hosts": dict(shape.landing_hosts),
        "params": dict(shape.params),
        "blocked": dict(shape.blocked),
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


def health_from_json(state: Mapping[str, object] | object) -> Health:
    """Reads the document of `clicks.offer_health.state`; one of another form is that of an offer without clicks.

    An entry of another form is left out; a drift of a kind that this build does not know is kept as it is.
    """
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
            **later,
        }:
            return Health(
                slots={int(start): slot for start, counts in slots.items() if (slot := _slot(counts)) is not None},
                shape=Shape(
                    chains=chains,
                    learned=learned,
                    hops=_shares(hops),
                    landing_hosts=_shares(landing_hosts),
                    params=_shares(params),
                    blocked=_shares(blocked) if isinstance(blocked := later.get("blocked"), dict) else {},
                    drifts=tuple(drift for entry in drifts if (drift := _drift(entry)) is not None),
                ),
                last_landing=last_landing,
                last_landing_time=last_landing_time,
            )
    return Health()


def _slot(counts: object) -> Slot | None:
    match counts:
        case [int(clicks), int(fallbacks), dict(times)]:
            return Slot(clicks, fallbacks, {number: traces for number, traces in times.items() if number.isdigit()})
    return None


def _shares(shares: Mapping[str, object]) -> Mapping[str, float]:
    return {name: share for name, share in shares.items() if isinstance(share, int | float)}


def _drift(entry: object) -> Drift | None:
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
    return None
