"""Checks what callers saw of the pool against what leases promise, whatever happened to the servers meanwhile.

A history holds only what was answered. What an unanswered call did is not known, and the checker takes the view that is
best for the service; so what it reports is a fault under any view. The events of one lease are in the order of its
holder's calls. All times are the database's clock, in seconds; `asked`
is the caller's, which is on the same machine.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

# Times are floats of microseconds since 1970.
_ROUNDING = 2e-6


@dataclass(frozen=True, slots=True)
class Granted:
    """A Lease was answered."""

    ip: str
    fence: int
    request_id: str
    time: float
    expire: float


@dataclass(frozen=True, slots=True)
class Kept:
    """A Heartbeat was answered."""

    ip: str
    fence: int
    time: float
    expire: float


@dataclass(frozen=True, slots=True)
class KeepLost:
    """A Heartbeat was sent and not answered: it may have moved the end of the lease, or not."""

    ip: str
    fence: int


@dataclass(frozen=True, slots=True)
class Released:
    """A Release that was sent at `asked` was answered; maybe as the repeat of one whose answer was lost on the way."""

    ip: str
    fence: int
    asked: float
    time: float
    available: float


@dataclass(frozen=True, slots=True)
class ReleaseLost:
    """A Release was sent at `asked` and not answered: it may have taken effect at any time after that, or not."""

    ip: str
    fence: int
    asked: float


Event = Granted | Kept | KeepLost | Released | ReleaseLost


@dataclass(slots=True)
class _Life:
    """All that is known of one lease."""

    ip: str
    fence: int
    grants: list[Granted] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    """For each of `kept`, the latest end that the lease can have had before it."""
    known_end: float = float("-inf")
    released: list[Released] = field(default_factory=list)
    asked: float = float("inf")
    """When its end was first asked for."""

    @property
    def born(self) -> float:
        return min(grant.time for grant in self.grants)

    def end(self, cooldown: float) -> float:
        """Returns the earliest time at which it can have ended."""
        if self.released:
            # Not the time of an answer: that may be of a repeat, when the first one was lost on the way.
            return max(self.asked, min(release.available for release in self.released) - cooldown)
        answers: list[Granted | Kept] = [*self.grants, *self.kept]
        # A heartbeat may shorten a lease, so the last one counts.
        return min(self.asked, max(answers, key=lambda answer: answer.time).expire)


def check(events: Iterable[Event], cooldown: float) -> Sequence[str]:
    """Returns what is wrong with a history, one sentence each; nothing if all is well."""
    lives: dict[tuple[str, int], _Life] = {}
    for event in events:
        life = lives.setdefault((event.ip, event.fence), _Life(event.ip, event.fence))
        match event:
            case Granted():
                life.grants.append(event)
                life.known_end = max(life.known_end, event.expire)
            case Kept():
                life.kept.append(event)
                life.ends.append(life.known_end)
                life.known_end = event.expire
            case KeepLost():
                life.known_end = float("inf")
            case Released():
                life.released.append(event)
                life.asked = min(life.asked, event.asked)
            case ReleaseLost():
                life.asked = min(life.asked, event.asked)
    faults = [f"{life.ip}/{life.fence}: used without a grant" for life in lives.values() if not life.grants]
    known = [life for life in lives.values() if life.grants]
    for life in known:
        faults.extend(_faults_of_life(life, cooldown))
    faults.extend(_faults_of_ips(known, cooldown))
    faults.extend(_faults_of_requests(known, cooldown))
    return faults


def _faults_of_life(life: _Life, cooldown: float) -> Iterable[str]:
    name = f"{life.ip}/{life.fence}"
    if len({grant.request_id for grant in life.grants}) > 1:
        yield f"{name}: given to two requests"
    if len({release.available for release in life.released}) > 1:
        yield f"{name}: a repeated release moved the cooldown"
    if life.released:
        rest = min(release.available for release in life.released) - life.asked
        if rest < cooldown - _ROUNDING:
            yield f"{name}: got a cooldown of {rest:.6f} s"
    ended = min((release.time for release in life.released), default=float("inf"))
    for kept, expire in zip(life.kept, life.ends, strict=True):
        if kept.time >= expire:
            yield f"{name}: revived {kept.time - expire:.6f} s after its end"
        if kept.time > ended:
            yield f"{name}: kept after its release"


def _faults_of_ips(lives: Sequence[_Life], cooldown: float) -> Iterable[str]:
    by_ip: dict[str, list[_Life]] = defaultdict(list)
    for life in lives:
        by_ip[life.ip].append(life)
    for ip, of_ip in by_ip.items():
        of_ip.sort(key=lambda life: life.born)
        for earlier, later in pairwise(of_ip):
            if later.fence <= earlier.fence:
                yield f"{ip}: fence {later.fence} follows {earlier.fence}"
            rest = later.born - earlier.end(cooldown)
            if rest < -_ROUNDING:
                yield f"{ip}: fences {earlier.fence} and {later.fence} shared it for {-rest:.6f} s"
            elif rest < cooldown - _ROUNDING:
                yield f"{ip}: rested {rest:.6f} s between fences {earlier.fence} and {later.fence}"
            last = max((kept.time for kept in earlier.kept), default=earlier.born)
            if last > later.born:
                yield f"{ip}: fence {earlier.fence} was kept while {later.fence} lived"


def _faults_of_requests(lives: Sequence[_Life], cooldown: float) -> Iterable[str]:
    by_request: dict[str, list[_Life]] = defaultdict(list)
    for life in lives:
        by_request[life.grants[0].request_id].append(life)
    for request_id, of_request in by_request.items():
        of_request.sort(key=lambda life: life.born)
        for earlier, later in pairwise(of_request):
            if later.born < earlier.end(cooldown):
                yield f"{request_id}: held {earlier.ip} and {later.ip} at once"
