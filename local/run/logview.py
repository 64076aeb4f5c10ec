"""Turns the JSON log lines of the services into compact lines for a person (pure)."""

import json
from datetime import datetime
from typing import Any

from local.run.options import Detail

_COLOURS = {"gateway": "\x1b[36m", "pool_manager": "\x1b[35m", "tracer": "\x1b[34m", "demo": "\x1b[33m"}
_LEVELS = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_NO_TIME = "--:--:--.---"
_DIM, _RESET = "\x1b[2m", "\x1b[0m"
# Said by the layout of the line, or of use only to machines.
_UNSHOWN = frozenset({"event", "level", "timestamp", "service", "logger", "trace_id", "span_id", "exception"})


def render(service: str, line: str, detail: Detail = "verbose", *, colour: bool = False) -> str | None:
    """Renders one line of output of a service; None if that much detail is not wanted.

    "quiet" shows what is a warning or worse, "normal" clicks with their hops too, "verbose" everything, also what is
    not JSON.
    """
    entry = _parse(line)
    name = _paint(colour, _COLOURS.get(service, ""), f"{service:<12}")
    if entry is None:
        return f"{_NO_TIME} {name} {line}" if detail == "verbose" and line.strip() else None
    event, level = str(entry.get("event", "")), str(entry.get("level", "info"))
    serious = level in _LEVELS
    if not serious and (detail == "quiet" or (detail == "normal" and not event.startswith("click."))):
        return None
    text = _CLICK_EVENTS[event](entry) if event in _CLICK_EVENTS and detail != "verbose" else _generic(event, entry)
    if serious:
        text = f"{_paint(colour, _LEVELS[level], level.upper())} {text}"
    lines = [f"{_paint(colour, _DIM, _time(entry))} {name} {text}"]
    if isinstance(entry.get("exception"), str):
        lines.append(entry["exception"])
    return "\n".join(lines)


def _parse(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _hop(entry: dict[str, Any]) -> str:
    status = entry.get("error") or entry.get("status") or "-"
    duration = f"{entry['ms']:.1f} ms" if isinstance(entry.get("ms"), int | float) else ""
    kind = str(entry.get("kind") or "").lower().replace("_", " ")
    host = str(entry.get("host", ""))
    return f"{_click(entry)}   hop {entry.get('index', '?')}  {status!s:<4} {host:<31} {kind:<15} {duration}".rstrip()


def _answered(entry: dict[str, Any]) -> str:
    wait = f"after {entry['wait_ms'] / 1000:.2f} s" if isinstance(entry.get("wait_ms"), int | float) else ""
    return f"{_click(entry)} {entry.get('offer', '')} → {_words(entry.get('answer'), wait, *_outcome(entry))}"


def _ended(entry: dict[str, Any]) -> str:
    return f"{_click(entry)} {entry.get('offer', '')} ended behind the visitor: {_words(*_outcome(entry))}"


def _outcome(entry: dict[str, Any]) -> list[str]:
    hops = entry.get("hops")
    return [
        str(entry.get("reason") or ""),
        f"{hops} hops" if hops else "",
        f"through {entry['exit_ip']}" if entry.get("exit_ip") else "",
    ]


_CLICK_EVENTS = {"click.hop": _hop, "click.answered": _answered, "click.ended": _ended}


def _generic(event: str, entry: dict[str, Any]) -> str:
    pairs = (f"{name}={_value(value)}" for name, value in entry.items() if name not in _UNSHOWN and value is not None)
    return " ".join([event, *pairs])


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return json.dumps(text) if not text or " " in text else text


def _click(entry: dict[str, Any]) -> str:
    # The end of an id that begins with the time is what tells two apart.
    return f"click …{str(entry.get('click_id', ''))[-6:]}"


def _words(*parts: object) -> str:
    return ", ".join(str(part) for part in parts if part)


def _time(entry: dict[str, Any]) -> str:
    try:
        moment = datetime.fromisoformat(str(entry.get("timestamp", "")))
    except ValueError:
        return _NO_TIME
    return moment.astimezone().strftime("%H:%M:%S.%f")[:-3]


def _paint(colour: bool, code: str, text: str) -> str:
    return f"{code}{text}{_RESET}" if colour and code else text
