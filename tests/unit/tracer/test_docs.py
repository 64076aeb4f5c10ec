"""docs/tracer.md is true: every stop, every reason and every limit stands there as the code has it."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from clicktrace.tracer.v1 import tracer_pb2 as pb
from services.tracer.fetch import response
from services.tracer.fetch.blame.rules import RULES
from services.tracer.fetch.own_answers import RULES as OWN_ANSWERS
from services.tracer.fetch.session import DRAIN_SECONDS
from services.tracer.follow import html, redirects
from services.tracer.model.report import Blame
from services.tracer.model.request import Limits
from services.tracer.rpc import codec
from services.tracer.settings import TracerSettings
from tests.integration.tracer.heads import HEADS

ROOT = Path(__file__).parents[3]
STOPS = set(pb.Result.StopReason.DESCRIPTOR.values_by_name)
SOURCES = (
    "libs/common/target_policy/policy",
    "services/tracer/fetch/failures",
    "services/tracer/fetch/blame/rules",
    "services/tracer/fetch/session",
    "services/tracer/follow/walk",
    "services/tracer/rpc/servicer",
)


@cache
def page() -> str:
    return (ROOT / "docs" / "tracer.md").read_text()


def section(title: str) -> str:
    return page().partition(f"## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("name", sorted(STOPS - {"STOP_REASON_UNSPECIFIED"}))
def test_every_stop_has_a_row(name: str) -> None:
    assert re.search(rf"^\| `{name}` \|", section("Why it ended"), re.MULTILINE)


def test_every_reason_is_explained_and_no_other() -> None:
    said = set(re.findall(r"`(?:[A-Z_]+/)?([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`", section("Why it ended")))
    said |= set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`", section("Who is blamed for what")))
    known = {
        name
        for source in SOURCES
        for name in re.findall(r'"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"', (ROOT / f"{source}.py").read_text())
    }
    known |= {rule.reason for rule in RULES}
    assert known <= said
    assert said - known - STOPS == {"INVALID_REQUEST"}


def blamed() -> str:
    """Renders the table of the rules; rows that differ in the reason alone are one."""
    rows: dict[tuple[str, Blame], list[str]] = {}
    for rule in RULES:
        rows.setdefault((rule.situation, rule.blame), []).append(f"`{rule.reason}`")
    lines = ["| what happened | blame | reason |", "|---|---|---|"]
    lines += [f"| {what} | {blame.name.lower()} | {', '.join(reasons)} |" for (what, blame), reasons in rows.items()]
    return "\n".join(lines)


def own_answers() -> str:
    """Renders the table of the proxies' own answers."""
    lines = ["| proxy | its own answer has | source |", "|---|---|---|"]
    for rule in OWN_ANSWERS:
        marks = []
        if rule.header:
            pattern = rule.value.pattern.decode()
            marks.append(f"`{rule.header}`" + (f" like `{pattern}`" if pattern else ""))
        if rule.absent:
            marks.append(f"no `{rule.absent}`")
        if len(rule.statuses) < 500:
            marks.append(f"status {rule.statuses[0]} to {rule.statuses[-1]}")
        lines.append(f"| {rule.proxy} | {', '.join(marks)} | {rule.source} |")
    return "\n".join(lines)


def heads() -> str:
    """Renders the table of heads that Chromium takes and the tracer does not."""
    lines = ["| head of a redirect that Chromium follows | the tracer |", "|---|---|"]
    lines += [f"| {head.what} | `{head.tracer.split(' ')[-1]}` |" for head in HEADS if head.chromium and head.tracer]
    return "\n".join(lines)


@pytest.mark.parametrize("table", [blamed, own_answers, heads])
def test_the_generated_tables_are_those_of_the_rules(table: Callable[[], str]) -> None:
    """Paste what it expects into docs/tracer.md when a rule changed."""
    assert table() in page()


def test_the_limits_are_those_of_the_code() -> None:
    limits = Limits()
    settings = TracerSettings()
    for row in (
        f"| hops | {limits.max_hops} | {codec.MAX_HOPS} |",
        f"| one hop | {limits.hop_timeout:.0f} s | {codec.MAX_HOP_TIMEOUT:.0f} s |",
        f"| the walk | {limits.total_timeout:.0f} s | {codec.MAX_TOTAL_TIMEOUT:.0f} s |",
        f"| URL | {limits.max_url_bytes // 1024} KiB |",
        f"| body of a page, decoded | {limits.max_body_bytes // 1024} KiB |",
        f"| headers of a hop, 1xx answers included | {response.MAX_HEADER_BYTES // 1024} KiB |",
        f"| body of a redirect | {response.DRAIN_BYTES // 1024} KiB or {DRAIN_SECONDS * 1000:.0f} ms",
        f"| walks at once | {settings.max_traces} (`TRACER_MAX_TRACES`)",
        f"{settings.lease_margin} s (`TRACER_LEASE_MARGIN`)",
    ):
        assert row in section("Limits")
    assert f"waits more than {redirects.LONGEST_DELAY} s" in page()
    assert f"the first {html.SCRIPT_BUDGET // 1024} KiB" in page()
