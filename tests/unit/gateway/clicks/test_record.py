"""The state machine of click statuses is the one that docs/clicks.md draws, and its reasons are those of the code."""

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from services.gateway.clicks.record import Answered, Kept, snapshot
from services.gateway.clicks.trace import Trace
from services.gateway.model import Answer, Click, ClickRecord, Offer, WalkResult

ROOT = Path(__file__).resolve().parents[4]
PAGE = (ROOT / "docs/clicks.md").read_text()

LANDED = WalkResult("http://shop.example/", "LANDING", 1.0, 100)
BROKE = WalkResult("http://x.example/", "CONNECTION_ERROR", 1.0, 100, failure_reason="RESET")
ANSWERED = Answered(Answer.FALLBACK, "http://t.example/", (), "MAX_WAIT", 1.0)
NOW = datetime.now(UTC)


def begun() -> Trace:
    click = Click("0" * 32, "demo", "offer=demo", (), "192.0.2.1", "", "", NOW, 0.0)
    return Trace(click, Offer("demo", "http://t.example/"))


@dataclass
class Running:
    """A click on its way, as the use case knows it."""

    trace: Trace = field(default_factory=begun)
    answered: Answered | None = None
    visitor_left: bool = False
    untraced_time: datetime | None = None

    def record(self) -> ClickRecord:
        return snapshot(
            self.trace,
            self.answered,
            Kept(NOW, "", "", ""),
            version=1,
            untraced_time=self.untraced_time,
            visitor_left=self.visitor_left,
        )


def answer(click: Running) -> None:
    click.answered = ANSWERED


def leave(click: Running) -> None:
    click.visitor_left = True


STEPS: list[Callable[[Running], None]] = [
    answer,
    leave,
    lambda click: click.trace.end(LANDED, ""),
    lambda click: click.trace.end(LANDED, "LANDING_NOT_ALLOWED"),
    lambda click: click.trace.end(BROKE, "RESET"),
    lambda click: click.trace.end(None, "NO_AVAILABLE_IP"),
]


def seen() -> set[tuple[str, str]]:
    """Returns every change of status that any order of events can bring: at most one end, at most one answer."""
    changes: set[tuple[str, str]] = set()
    changes.add(("[*]", Running(answered=ANSWERED, untraced_time=NOW).record().status))
    for order in itertools.chain.from_iterable(itertools.permutations(STEPS, count) for count in range(4)):
        if sum(step in STEPS[2:] for step in order) > 1 or sum(step in STEPS[:2] for step in order) > 1:
            continue
        click = Running()
        before = "[*]"
        for step in [lambda _click: None, *order]:
            step(click)
            after = click.record().status
            if after != before:
                changes.add((before, after))
            before = after
    return changes


def test_the_reason_is_that_of_the_answer_else_that_the_visitor_left_else_that_of_the_trace() -> None:
    click = Running()
    click.trace.end(BROKE, "RESET")
    assert click.record().reason == "RESET"
    click.visitor_left = True
    assert click.record().reason == "VISITOR_LEFT"
    click.answered = ANSWERED
    assert click.record().reason == "MAX_WAIT"


def test_only_a_late_result_goes_to_the_webhook() -> None:
    trace = Trace(begun().click, Offer("demo", "http://t.example/", webhook_url="https://hook.example/"))
    kept = Kept(NOW, "", "", "")
    assert snapshot(trace, ANSWERED, kept, version=1).webhook_url == ""
    assert snapshot(trace, ANSWERED, kept, version=1, is_late=True).webhook_url == "https://hook.example/"


def test_a_click_that_shares_a_walk_names_its_leader_and_keeps_no_hops_of_its_own() -> None:
    leader, follower = begun(), Trace(begun().click._replace(click_id="1" * 32), begun().offer)
    follower.walk = leader.walk
    record = Running(trace=follower).record()
    assert (record.joined_click_id, record.hops) == ("0" * 32, ())
    assert Running(trace=leader).record().joined_click_id == ""


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
