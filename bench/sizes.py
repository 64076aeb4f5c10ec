"""How much each benchmark does: FULL for figures, SMOKE to see in seconds that it runs. Never code."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Click:
    """The sections `visitor`, `cost`, `deadline` and `held` of `bench.click`."""

    ips: int
    at_once: int
    """Number of visitors who click in one moment."""
    rounds: int
    even_seconds: float
    """Seconds for which visitors come at an even pace."""
    saturation_rounds: int
    saturation_seconds: float
    saturation_visitors: int
    pause_seconds: float
    """Seconds between two turns at saturation."""
    deadline_seconds: float
    held: int
    """Number of traces in flight."""


@dataclass(frozen=True)
class Pressure:
    """The section `pressure` of `bench.click`."""

    ips: int
    seconds: float
    """Seconds for which clicks are refused at an even pace."""
    room: int
    """How many visitors may wait at once."""
    waiting_seconds: float
    """Seconds for which the visitors wait that take the room."""
    at_once: int
    saturation_seconds: float


@dataclass(frozen=True)
class Pool:
    """`bench.pool`; the numbers of IPs are those of its three databases, few, usual and many."""

    few: int
    usual: int
    many: int
    unary: int
    """IPs for the leases that are taken one by one: enough for all of them, because none comes free again."""
    rounds: int
    seconds: float
    """Seconds of a turn."""
    paced_rounds: int
    paced_seconds: float
    warm_seconds: float
    """Seconds of warm-up in each paced turn."""
    saturation_seconds: float
    settling_seconds: float
    """Seconds of warm-up at saturation, while waves even out."""


@dataclass(frozen=True)
class Tracer:
    """`bench.tracer`."""

    rounds: int
    batches: int
    traces: int
    """Number of traces in one batch."""
    program_traces: int
    slow: tuple[int, ...]
    """Traces held at once; the first number has a limit to keep."""


@dataclass(frozen=True)
class Capacity:
    """`bench.capacity`."""

    ips: int
    seconds: float
    """Seconds of each measurement."""
    warm_seconds: float
    groups: tuple[int, ...]
    """Leases in one statement."""
    click_groups: tuple[int, ...]
    """Clicks in one statement; a gateway writes no more than 200 at once."""


@dataclass(frozen=True)
class Console:
    """`bench.console`."""

    ips: int
    clicks: int
    """Clicks per second."""
    seconds: int


@dataclass(frozen=True)
class Soak:
    """`bench.soak`."""

    seconds: float
    rate: float | None
    """Clicks a second; None for that of the mode."""
    restarted: int
    """How many instances of each service are restarted."""
    rounds: int | None
    """How often each of them is; None for as often as the mode says."""


@dataclass(frozen=True)
class Start:
    """`bench.start`."""

    directories: int
    """State directories, each of them new once."""
    starts: int
    """How often each of them is started in again."""


@dataclass(frozen=True)
class Sizes:
    """The sizes of all benchmarks."""

    click: Click
    pressure: Pressure
    pool: Pool
    tracer: Tracer
    capacity: Capacity
    console: Console
    soak: Soak
    start: Start


FULL = Sizes(
    click=Click(
        ips=8_000,
        at_once=100,
        rounds=7,
        even_seconds=4.0,
        saturation_rounds=8,
        saturation_seconds=2.0,
        saturation_visitors=64,
        pause_seconds=0.5,
        deadline_seconds=6.0,
        held=5_000,
    ),
    pressure=Pressure(ips=2_000, seconds=5.0, room=50, waiting_seconds=10.0, at_once=1_000, saturation_seconds=4.0),
    pool=Pool(
        few=1_000,
        usual=20_000,
        many=1_000_000,
        unary=150_000,
        rounds=7,
        seconds=1.0,
        # A 99th percentile is made by a few: it takes more turns.
        paced_rounds=15,
        paced_seconds=1.5,
        warm_seconds=0.3,
        saturation_seconds=10.0,
        settling_seconds=2.0,
    ),
    tracer=Tracer(rounds=3, batches=25, traces=100, program_traces=50, slow=(2_000, 5_000)),
    capacity=Capacity(ips=100_000, seconds=4.0, warm_seconds=0.5, groups=(16, 64, 256), click_groups=(16, 64, 200)),
    console=Console(ips=10_000, clicks=200, seconds=20),
    soak=Soak(seconds=600.0, rate=None, restarted=2, rounds=None),
    start=Start(directories=5, starts=2),
)

SMOKE = Sizes(
    click=Click(
        ips=400,
        at_once=5,
        rounds=1,
        even_seconds=0.2,
        saturation_rounds=1,
        saturation_seconds=0.5,
        saturation_visitors=8,
        pause_seconds=0.0,
        deadline_seconds=1.2,
        held=20,
    ),
    pressure=Pressure(ips=100, seconds=0.2, room=5, waiting_seconds=4.0, at_once=20, saturation_seconds=0.2),
    pool=Pool(
        few=1_000,
        usual=1_200,
        many=1_400,
        unary=5_000,
        rounds=1,
        seconds=0.1,
        paced_rounds=1,
        paced_seconds=0.2,
        warm_seconds=0.05,
        saturation_seconds=1.5,
        settling_seconds=0.5,
    ),
    tracer=Tracer(rounds=1, batches=1, traces=20, program_traces=1, slow=(20,)),
    capacity=Capacity(ips=500, seconds=0.2, warm_seconds=0.05, groups=(4, 16), click_groups=(4, 16)),
    console=Console(ips=200, clicks=50, seconds=2),
    soak=Soak(seconds=3.0, rate=10.0, restarted=1, rounds=1),
    start=Start(directories=1, starts=1),
)
