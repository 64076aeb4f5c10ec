"""How many IPs a load needs.

An IP that serves a click is busy for the trace and its cooldown, and a click that finds none is lost: a loss system,
for which A. K. Erlang's formula B holds whatever the distribution of the times (1917; proved insensitive by
B. A. Sevastyanov, 1957). The quick start's rule of thumb stands beside it.
"""

import math
from dataclasses import dataclass

from libs.common.errors import Violation
from services.pool_manager.model.capacity import MeasuredLoad

MAX_LOAD = 1_000_000.0
"""The largest offered load, in erlang, that is computed here."""


@dataclass(frozen=True, slots=True)
class Load:
    """A load on a pool; times in seconds."""

    clicks_per_second: float
    trace_time: float
    cooldown: float
    target_loss: float = 0.01
    """The share of clicks that may find no IP, above 0 and below 1."""
    peak_concurrent: float | None = None
    """Clicks at once at the peak; None: `clicks_per_second` × `trace_time`."""
    buffer: float = 1.5

    @property
    def peak(self) -> float:
        """The number of clicks at once at the peak."""
        return self.clicks_per_second * self.trace_time if self.peak_concurrent is None else self.peak_concurrent

    @property
    def cycle(self) -> float:
        """How long an IP is busy with one click, in seconds."""
        return self.trace_time + self.cooldown

    @property
    def erlang(self) -> float:
        """The offered load in erlangs: the mean number of busy IPs in an unlimited pool."""
        return self.clicks_per_second * self.cycle


@dataclass(frozen=True, slots=True)
class Estimate:
    """The number of IPs that a load needs, and how the present ones bear it."""

    erlang_b_ips: int
    rule_of_thumb_ips: int
    offered_load: float
    present_ips: int
    present_loss: float
    time_to_exhaustion: float | None
    """Seconds until the last free IP goes at this rate; None if it does not."""


def loss(ips: int, erlang: float) -> float:
    """Returns the share of clicks that find no IP: Erlang's B for `ips` servers under `erlang`."""
    if ips <= 0:
        return 1.0
    value = 1.0
    for count in range(1, ips + 1):
        value = erlang * value / (count + erlang * value)
        if value == 0.0:
            break
    return value


def ips_for(erlang: float, target: float) -> int:
    """Returns the smallest number of IPs whose loss does not exceed `target`; ValueError above MAX_LOAD."""
    if not 0 <= erlang <= MAX_LOAD:
        raise ValueError(f"the offered load is {erlang:g} erlang; it must be 0 to {MAX_LOAD:g}")
    if not 0 < target < 1:
        raise ValueError(f"the target is {target:g}; it must be above 0 and below 1")
    ips, value = 0, 1.0
    while value > target:
        ips += 1
        value = erlang * value / (ips + erlang * value)
    return ips


def rule_of_thumb(load: Load) -> int:
    """Returns peak × (1 + cooldown / trace) × buffer, rounded up; ValueError without a trace time."""
    if load.trace_time <= 0:
        raise ValueError("the trace time must be above 0")
    # What floating point leaves behind the ninth digit is no reason for one more IP.
    return math.ceil(round(load.peak * (1 + load.cooldown / load.trace_time) * load.buffer, 9))


def estimate(load: Load, *, present: int, available: int, busy: int) -> Estimate:
    """Computes all of it; of the `present` IPs, `busy` are in use or in cooldown."""
    # Busy IPs come back one by one over a cycle; what the clicks take beyond that is what the free ones lose.
    shrinking = load.clicks_per_second - (busy / load.cycle if load.cycle else 0.0)
    exhausted = load.erlang > present and shrinking > 0
    return Estimate(
        erlang_b_ips=ips_for(load.erlang, load.target_loss),
        rule_of_thumb_ips=rule_of_thumb(load),
        offered_load=load.erlang,
        present_ips=present,
        present_loss=loss(present, load.erlang) if load.erlang else 0.0,
        time_to_exhaustion=available / shrinking if exhausted else None,
    )


@dataclass(frozen=True, slots=True)
class PartialLoad:
    """A load whose fields may be None; times in seconds."""

    clicks_per_second: float | None = None
    trace_time: float | None = None
    cooldown: float | None = None
    target_loss: float | None = None
    peak_concurrent: float | None = None
    buffer: float | None = None

    def completed(self, violations: list[Violation], measured: MeasuredLoad) -> Load | None:
        """Fills the gaps with what was measured, and the usual values; adds what is wrong to `violations`."""
        rate = measured.clicks_per_second if self.clicks_per_second is None else self.clicks_per_second
        trace_time = measured.trace_time if self.trace_time is None else self.trace_time
        for name, value in (("clicks_per_second", rate), ("trace_time", trace_time)):
            if value is None:
                violations.append(Violation(name, "is left out, and the pool has no record of its last hour"))
        load = Load(
            clicks_per_second=rate or 0.0,
            trace_time=1.0 if trace_time is None else trace_time,
            cooldown=measured.cooldown if self.cooldown is None else self.cooldown,
            target_loss=0.01 if self.target_loss is None else self.target_loss,
            peak_concurrent=self.peak_concurrent,
            buffer=1.5 if self.buffer is None else self.buffer,
        )
        _check(violations, "clicks_per_second", load.clicks_per_second, 0.0, MAX_LOAD)
        _check(violations, "trace_time", load.trace_time, 0.001, 86_400.0)
        _check(violations, "cooldown", load.cooldown, 0.0, 86_400.0)
        _check(violations, "target_loss", load.target_loss, 1e-9, 1 - 1e-9)
        _check(violations, "peak_concurrent", load.peak_concurrent or 0.0, 0.0, MAX_LOAD)
        _check(violations, "buffer", load.buffer, 0.1, 100.0)
        if not violations and load.erlang > MAX_LOAD:
            violations.append(
                Violation("clicks_per_second", f"makes a load of {load.erlang:g} erlang, above {MAX_LOAD:g}")
            )
        return None if violations else load


def _check(violations: list[Violation], name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        violations.append(Violation(name, f"is {value:g}; give {low:g} to {high:g}"))
