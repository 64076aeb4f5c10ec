"""Rates of grants and clicks over the last minutes, in bounded memory."""

from collections import deque

from services.gateway.model import Answer, ClickRecord, ClickStatus

# Five minutes of samples, one per frame.
_MAX_SAMPLES = 1_300
_SMOOTHING = 0.05
_MAX_ANSWERED = 20_000


class Rates:
    """Counts grants and clicks, and keeps the counts of the last five minutes."""

    def __init__(self) -> None:
        """Starts with no counts."""
        self.trace_time: float | None = None
        """The smoothed mean time that a trace holds its IP, in seconds; None before the first."""
        self._clicks = 0
        self._fallbacks = 0
        self._wanting = 0
        self._answered: dict[str, None] = {}
        self._samples: deque[tuple[float, float, int, int, int]] = deque(maxlen=_MAX_SAMPLES)

    def click(self, record: ClickRecord) -> None:
        """Counts a click that was answered, or whose late trace ended."""
        for attempt in record.attempts:
            if attempt.trace_time is not None:
                known = self.trace_time
                step = attempt.trace_time - (known or 0.0)
                self.trace_time = attempt.trace_time if known is None else known + _SMOOTHING * step
        if record.click_id in self._answered:
            return  # the late end of a click that was counted when it was answered
        self._answered[record.click_id] = None
        if len(self._answered) > _MAX_ANSWERED:
            del self._answered[next(iter(self._answered))]
        self._clicks += 1
        self._fallbacks += record.answer is Answer.FALLBACK
        self._wanting += record.status is not ClickStatus.NOT_TRACED and not record.joined_click_id

    def sample(self, now: float, grants: float) -> None:
        """Adds a sample of the counts; `now` is in seconds of any steady clock, `grants` the grants so far."""
        self._samples.append((now, grants, self._clicks, self._fallbacks, self._wanting))

    def grants(self, seconds: float) -> float:
        """Returns grants per second over the last `seconds`."""
        return self._rate(seconds, 1)

    def demand(self, seconds: float) -> float:
        """Returns IPs wanted per second over the last `seconds`, including those that the pool did not have."""
        # A few clicks after a pause are no rate yet.
        return max(self._rate(seconds, column, least=seconds / 3) for column in (1, 4))

    def clicks(self, seconds: float) -> float:
        """Returns clicks per second over the last `seconds`."""
        return self._rate(seconds, 2)

    def fallback_share(self) -> float | None:
        """Returns the share of clicks answered with a fallback in the last 5 min, 0 to 1; None without clicks."""
        if not self._samples:
            return None
        _, _, clicks, fallbacks, _ = self._samples[0]
        _, _, last_clicks, last_fallbacks, _ = self._samples[-1]
        counted = last_clicks - clicks
        return (last_fallbacks - fallbacks) / counted if counted else None

    def _rate(self, seconds: float, column: int, *, least: float = 0.0) -> float:
        if not self._samples:
            return 0.0
        last = self._samples[-1]
        first = next((sample for sample in self._samples if last[0] - sample[0] <= seconds), last)
        span = max(least, last[0] - first[0])
        return (last[column] - first[column]) / span if span > 0 else 0.0
