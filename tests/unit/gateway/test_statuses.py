"""The state machine of click statuses is the one that docs/clicks.md draws, and its reasons are those of the code."""

import itertools
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from services.gateway.clicks.privacy import PersonalData, Privacy
from services.gateway.clicks.state import RunningClick
from services.gateway.model import Answer, Click, Offer, WalkResult

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/clicks.md").read_text()

LANDED = WalkResult("http://shop.example/", "LANDING", 1.0, 100)
BROKE = WalkResult("http://x.example/", "CONNECTION_ERROR", 1.0, 100, failure_reason="RESET")


def running() -> RunningClick:
    click = Click("0" * 32, "demo", "offer=demo", (), "192.0.2.1", "", "", datetime.now(UTC), 0.0)
    return RunningClick(click, Offer("demo", "http://t.example/"), give_up_after=75, privacy=PRIVACY)


PRIVACY = Privacy(PersonalData.NONE, b"")


def answered(click: RunningClick) -> None:
    click.answered(Answer.FALLBACK, location="http://t.example/", params=(), reason="MAX_WAIT", wait=1.0)


STEPS: list[Callable[[RunningClick], None]] = [
    answered,
    RunningClick.visitor_left,
    lambda click: click.end(LANDED, ""),
    lambda click: click.end(LANDED, "LANDING_NOT_ALLOWED"),
    lambda click: click.end(BROKE, "RESET"),
    lambda click: click.end(None, "NO_AVAILABLE_IP"),
]


def seen() -> set[tuple[str, str]]:
    """Returns every change of status that any order of events can bring: at most one end, at most one answer."""
    changes: set[tuple[str, str]] = set()
    untraced = running()
    untraced.not_traced()
    answered(untraced)
    changes.add(("[*]", untraced.record().status))
    for order in itertools.chain.from_iterable(itertools.permutations(STEPS, count) for count in range(4)):
        if sum(step in STEPS[2:] for step in order) > 1 or sum(step in STEPS[:2] for step in order) > 1:
            continue
        click = running()
        before = "[*]"
        for step in [lambda _click: None, *order]:
            step(click)
            after = click.record().status
            if after != before:
                changes.add((before, after))
            before = after
    return changes


def test_the_drawing_shows_every_change_of_status_and_no_other() -> None:
    drawn = set(re.findall(r"^    (\S+) --> (\w+):", PAGE, re.MULTILINE))
    # ABANDONED is what the clock says of a record that nobody writes any more; tests/integration has it.
    assert {change for change in drawn if change[1] != "ABANDONED"} == seen()
    assert {before for before, after in drawn if after == "ABANDONED"} == {"PENDING", "TRACING"}


def test_every_reason_of_the_page_is_one_of_the_code() -> None:
    table = PAGE.partition("## Reasons")[2].partition("\n## ")[0]
    reasons = re.findall(r"`([A-Z_]+)`", "\n".join(line.split("|")[1] for line in table.splitlines() if "|" in line))
    assert len(reasons) > 20
    code = "\n".join(path.read_text() for path in (ROOT / "services").rglob("*.py"))
    assert [reason for reason in reasons if f'"{reason}"' not in code and f"{reason} = " not in code] == []
