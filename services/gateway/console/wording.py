"""Formats durations, shares, rates and reasons for people."""

from datetime import UTC, datetime

_REASONS = {
    "MAX_WAIT": "slower than the visitor waits",
    "NO_AVAILABLE_IP": "no free IP",
    "POOL_UNAVAILABLE": "pool manager not reachable",
    "POOL_TIMEOUT": "pool manager too slow",
    "TRACER_UNAVAILABLE": "no tracer reachable",
    "TRACER_BUSY": "all tracers busy",
    "OVERLOAD": "gateway at its limits",
    "CLIENT_RATE": "too many clicks from one address",
    "OFFER_RATE": "too many clicks of this offer",
    "REDIRECT_ONLY": "offer is not traced",
    "HEAD": "HEAD request",
    "PREFETCH": "prefetch or preview",
    "BEACON": "beacon, traced in the background",
    "LEASE_LOST": "lost its IP midway",
    "TRACE_TIMEOUT": "trace took too long",
    "SHUTTING_DOWN": "gateway was stopping",
    "VISITOR_LEFT": "visitor left before the answer",
    "LANDING_BLOCKED": "page keeps robots out",
    "LANDING_HTTP_ERROR": "chain ends on an error page",
}


def reason(name: str) -> str:
    """Returns a reason in words; an unknown one as its own words in lower case."""
    return _REASONS.get(name, name.replace("_", " ").lower())


def span(seconds: float | None) -> str:
    """Formats a duration in seconds with two or three significant digits; a dash for None."""
    if seconds is None:
        return "–"
    if seconds == 0:
        return "0 ms"
    if seconds < 0.0995:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 99.5:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    return long_span(seconds)


def long_span(seconds: float) -> str:
    """Formats a duration in seconds in its two largest units."""
    left = round(seconds)
    if left < 100:
        return f"{left} s"
    minutes, left = divmod(left, 60)
    if minutes < 60:
        return f"{minutes} min {left:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24} h"


def size(count: int) -> str:
    """Formats a number of bytes with two or three significant digits."""
    if count < 1_000:
        return f"{count} B"
    value, unit = (count / 1_000, "kB") if count < 999_500 else (count / 1_000_000, "MB")
    return f"{value:.1f} {unit}" if value < 99.95 else f"{value:.0f} {unit}"


def share(value: float | None) -> str:
    """Formats a share from 0 to 1 in percent; a dash for None."""
    if value is None:
        return "–"
    percent = value * 100
    return f"{percent:.1f} %" if 0 < percent < 9.95 else f"{percent:.0f} %"


def rate(value: float) -> str:
    """Formats a number per second."""
    return f"{value:.0f}" if value >= 99.5 else f"{value:.1f}" if value >= 9.95 else f"{value:.2f}"


def clock(moment: datetime) -> str:
    """Formats a time as the time of day in UTC."""
    return moment.astimezone(UTC).strftime("%H:%M:%S")
