"""Proves that log lines become readable ones, and that each level of detail shows what it promises."""

import json

import pytest

from local.run.logview import render
from local.run.options import Detail

HOP = {
    "event": "click.hop",
    "level": "info",
    "timestamp": "2026-11-23T20:09:23.975123Z",
    "click_id": "01a20a070ceb7d5ab169e2ce93058e5a",
    "index": 3,
    "status": 200,
    "kind": "REFRESH_HEADER",
    "host": "geo.router.localhost:8090",
    "ms": 1.23,
    "error": None,
    "trace_id": "f" * 32,
}


def shown(entry: dict[str, object], detail: Detail = "normal", *, colour: bool = False) -> str:
    return render("gateway", json.dumps(entry), detail, colour=colour) or ""


def test_a_hop_is_one_compact_line() -> None:
    line = shown(HOP)
    for part in ("gateway", "…058e5a", "hop 3", "200", "geo.router.localhost:8090", "refresh header", "1.2 ms"):
        assert part in line
    assert "\n" not in line
    assert "trace_id" not in line
    assert ":23.975 " in line


def test_a_hop_that_broke_shows_its_reason_instead_of_a_status() -> None:
    assert "CONNECTION_CLOSED" in shown({**HOP, "status": 0, "kind": "", "error": "CONNECTION_CLOSED"})


def test_an_answer_tells_where_to_and_through_which_ip() -> None:
    answer = {
        **HOP,
        "event": "click.answered",
        "offer": "demo",
        "answer": "FALLBACK",
        "reason": "NO_AVAILABLE_IP",
        "wait_ms": 12.0,
        "hops": 0,
        "exit_ip": "127.77.0.3",
    }
    assert shown(answer).endswith("demo → FALLBACK, after 0.01 s, NO_AVAILABLE_IP, through 127.77.0.3")


@pytest.mark.parametrize(
    ("event", "level", "visible_in"),
    [
        ("click.hop", "info", {"normal", "verbose"}),
        ("click.something", "info", {"normal", "verbose"}),
        ("server.listening", "info", {"verbose"}),
        ("journal.down", "error", {"quiet", "normal", "verbose"}),
        ("listen.down", "warning", {"quiet", "normal", "verbose"}),
    ],
)
def test_each_level_of_detail_shows_what_it_promises(event: str, level: str, visible_in: set[str]) -> None:
    details: tuple[Detail, ...] = ("quiet", "normal", "verbose")
    visible = {detail for detail in details if shown({**HOP, "event": event, "level": level}, detail)}
    assert visible == visible_in


def test_other_events_show_their_fields_and_their_traceback() -> None:
    line = shown(
        {"event": "journal.down", "level": "error", "waiting": 3, "error": "no way", "exception": "Traceback …"}
    )
    assert 'ERROR journal.down waiting=3 error="no way"' in line
    assert line.endswith("\nTraceback …")


def test_what_is_no_json_is_shown_as_it_is_if_everything_is_wanted() -> None:
    for line in ("Traceback (most recent call last):", "[1]", "{broken"):
        assert (render("tracer", line, "verbose") or "").endswith(f"tracer       {line}")
        assert render("tracer", line, "normal") is None
    assert render("tracer", "  ", "verbose") is None


def test_colour_is_for_terminals_only() -> None:
    assert "\x1b[" in shown(HOP, colour=True)
    assert "\x1b[" not in shown(HOP)
