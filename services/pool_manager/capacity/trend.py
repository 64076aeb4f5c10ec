"""Forecasts when the free IPs of a country run out; pure rules."""

from collections import deque

# Length of the trend in seconds: longer than a burst, shorter than what an operator needs to react.
TREND_SECONDS = 120.0
LEAST_SECONDS = 30.0
"""Seconds of samples before there is a trend."""


class Trend:
    """The number of free IPs over the last two minutes."""

    def __init__(self) -> None:
        """Starts without samples."""
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, moment: float, available: int) -> None:
        """Adds the number of IPs that were free at a moment; moments increase, and are in seconds."""
        self._samples.append((moment, available))
        while moment - self._samples[0][0] > TREND_SECONDS:
            self._samples.popleft()

    def exhausted_in(self) -> float:
        """Returns the seconds until no IP is free, by the straight line through the samples.

        0 when none is free now, infinity when their number does not fall, or was not looked at for long enough.
        """
        if not self._samples:
            return float("inf")
        now, available = self._samples[-1]
        if available == 0:
            return 0.0
        if now - self._samples[0][0] < LEAST_SECONDS:
            return float("inf")
        count = len(self._samples)
        mean_moment = sum(moment - now for moment, _ in self._samples) / count
        mean_available = sum(free for _, free in self._samples) / count
        spread = sum((moment - now - mean_moment) ** 2 for moment, _ in self._samples)
        slope = sum((moment - now - mean_moment) * (free - mean_available) for moment, free in self._samples) / spread
        return available / -slope if slope < 0 else float("inf")
