"""Renders one click as a waterfall: the wait for an IP, every hop, the merged parameters, and the answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.gateway.console import wording
from services.gateway.console.markup import Child, Html, el, join
from services.gateway.console.parts import tone_and_label
from services.gateway.model import Answer, Attempt, ClickRecord, Hop, Origin, ParameterSource
from services.gateway.urls.parameters import SplitUrl, parse, serialize

_TICKS = 2
# The least width of a bar, in percent, so that a fast phase is visible.
_LEAST_PERCENT = 0.4


@dataclass(frozen=True, slots=True)
class _Phase:
    """A part of a row's bar; start and end are in seconds from the click."""

    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the waterfall."""

    title: Child
    note: Child
    status: Child
    phases: Sequence[_Phase]
    tone: str = ""


def click(record: ClickRecord, *, jaeger_url: str) -> Html:
    """Renders a click as it is now; `jaeger_url` is where its OpenTelemetry trace is shown, empty for nowhere."""
    rows = _rows(record)
    ends = [phase.end for row in rows for phase in row.phases]
    length = max([*ends, record.visitor_wait or 0.0, 0.001])
    tone, label = tone_and_label(record)
    return el(
        "article",
        el(
            "header",
            el("h2", record.offer, " ", el("span", label, class_=f"badge {tone}"), tabindex=-1),
            el("p", el("code", record.click_id), " · ", _time(record), class_="quiet"),
        ),
        _facts(record, jaeger_url),
        el("h3", "What happened"),
        _scale(length, record) if rows else None,
        el("ol", [_line(row, length, record.visitor_wait) for row in rows], class_="waterfall") if rows else None,
        None if rows else el("p", _nothing_walked(record), class_="quiet"),
        _key() if rows else None,
        _answer(record),
        _parameters(record.params),
        class_="click",
        data_click=record.click_id,
        data_ended=record.end_time is not None,
    )


def _time(record: ClickRecord) -> Html:
    return el("time", f"{record.start_time:%Y-%m-%d %H:%M:%S} UTC", datetime=record.start_time.isoformat())


def _facts(record: ClickRecord, jaeger_url: str) -> Html:
    exits = " → ".join(f"{attempt.ip_address} ({attempt.country.upper()})" for attempt in record.attempts)
    facts: list[tuple[str, Child]] = [
        ("Visitor waited", _waited(record)),
        ("Left through", exits or "no IP"),
        ("Walk ended with", wording.reason(record.stop_reason) if record.stop_reason else "–"),
    ]
    if record.reason:
        facts.append(("Why", [wording.reason(record.reason), " ", el("code", record.reason)]))
    if record.joined_click_id:
        link = el("a", record.joined_click_id, href=f"/console/clicks/{record.joined_click_id}")
        facts.append(("Joined", link))
    if jaeger_url and record.otel_trace_id:
        url = f"{jaeger_url.rstrip('/')}/trace/{record.otel_trace_id}"
        link = el("a", "open in Jaeger", href=url, target="_blank", rel="noopener noreferrer")
        facts.append(("Trace", link))
    return el("dl", [el("div", el("dt", name), el("dd", value)) for name, value in facts], class_="facts")


def _waited(record: ClickRecord) -> str:
    if record.visitor_wait is not None:
        return wording.span(record.visitor_wait)
    return "left before the answer" if record.reason == "VISITOR_LEFT" else "still waits"


def _rows(record: ClickRecord) -> Sequence[_Row]:
    """Lays out the attempts and their hops one after another, in the order in which they happened."""
    rows = []
    at = 0.0
    for number, attempt in enumerate(record.attempts, 1):
        again = f" (attempt {number})" if len(record.attempts) > 1 else ""
        wait = _Phase("lease", at, at + attempt.lease_wait)
        rows.append(_Row(f"Wait for an IP{again}", _lease_note(attempt), "", [wait]))
        at += attempt.lease_wait
        for hop in record.hops:
            if hop.attempt == number:
                phases = _phases(hop, at)
                rows.append(_hop_row(hop, phases))
                at = max([at, *(phase.end for phase in phases)])
    if record.answer is Answer.LANDING and rows and record.visitor_wait is not None and record.visitor_wait > at:
        note = "parameters joined, click on record, visitor sent on"
        rows.append(_Row("Merge and answer", note, "302", [_Phase("answer", at, record.visitor_wait)]))
    return rows


def _lease_note(attempt: Attempt) -> Child:
    note: list[Child] = [f"{attempt.ip_address}:{attempt.ip_port} · {attempt.country.upper()}"]
    if attempt.outcome:
        note.append(f" · released: {wording.reason(attempt.outcome)}")
    if attempt.failure_reason:
        note.append([" ", el("code", attempt.failure_reason)])
    return note


def _phases(hop: Hop, at: float) -> Sequence[_Phase]:
    """Splits a hop into phases; `at` is the start of the hop, in seconds from the click."""
    total = hop.total or 0.0
    phases = []
    before = 0.0
    for name, mark in (("dns", hop.dns), ("connect", hop.connect), ("tls", hop.tls), ("first", hop.first_byte)):
        if mark is not None and mark > before:
            phases.append(_Phase(name, at + before, at + mark))
            before = mark
    if total > before:
        phases.append(_Phase("body", at + before, at + total))
    return phases


def _hop_row(hop: Hop, phases: Sequence[_Phase]) -> _Row:
    split = SplitUrl.of(hop.url)
    path = split.base.partition("//")[2].partition("/")[2]
    title = el(
        "details",
        el("summary", el("span", split.host, class_="host"), el("span", f"/{path}", class_="path")),
        el("code", hop.url),
        _hop_facts(hop),
    )
    marks = (
        ("DNS", hop.dns),
        ("connected", hop.connect),
        ("TLS", hop.tls),
        ("first byte", hop.first_byte),
        ("done", hop.total),
    )
    timing = " · ".join(f"{name} {wording.span(mark)}" for name, mark in marks if mark is not None)
    kind = wording.reason(hop.kind) if hop.kind else ""
    note: list[Child] = [f"{kind} · " if kind else None, timing]
    if hop.error:
        note.append([" · ", el("code", hop.error, class_="bad")])
    tone = "bad" if hop.error else ""
    return _Row(title, note, str(hop.status) if hop.status else "–", phases, tone)


def _hop_facts(hop: Hop) -> Html | None:
    """Renders what else is known of a hop; None if nothing is."""
    spoken = [f"HTTP/{hop.http_version}" if hop.http_version else "", hop.tls_version]
    facts: list[tuple[str, Child]] = [
        ("Connected to", hop.remote_address),
        ("Spoke", " over ".join(filter(None, spoken))),
        ("Received", wording.size(hop.bytes) if hop.bytes else ""),
        ("Set cookies", ", ".join(hop.set_cookie_names)),
        ("Led on by", el("code", hop.snippet) if hop.snippet else ""),
    ]
    known = [el("div", el("dt", name), el("dd", value)) for name, value in facts if value]
    return el("dl", known) if known else None


def _line(row: _Row, length: float, answered: float | None) -> Html:
    bars = [
        el(
            "rect",
            class_=phase.name,
            x=f"{min(100 - _LEAST_PERCENT, 100 * phase.start / length):.2f}%",
            width=f"{max(_LEAST_PERCENT, 100 * (phase.end - phase.start) / length):.2f}%",
            y="50%",
        )
        for phase in row.phases
    ]
    marker = (
        el("rect", class_="answered", x=f"{min(99.7, 100 * answered / length):.2f}%", width="0.3%", y=0, height="100%")
        if answered is not None
        else None
    )
    took = row.phases[-1].end - row.phases[0].start if row.phases else None
    return el(
        "li",
        el("span", row.status, class_="status"),
        el("span", el("span", row.title, class_="title"), el("span", row.note, class_="note"), class_="what"),
        el("span", el("svg", bars, marker, aria_hidden="true"), class_="bar"),
        el("span", wording.span(took), class_="took"),
        class_=row.tone or None,
    )


def _scale(length: float, record: ClickRecord) -> Html:
    marks = [
        el("text", wording.span(length * tick / _TICKS), x=f"{100 * tick / _TICKS}%", y=11, class_=f"tick{tick}")
        for tick in range(_TICKS + 1)
    ]
    words = f"From the click to {wording.span(length)}"
    if record.visitor_wait is not None:
        words += f"; the visitor was answered after {wording.span(record.visitor_wait)}"
    return el("div", el("svg", marks, role="img", aria_label=words), class_="scale")


def _key() -> Html:
    names = (
        ("lease", "wait for an IP"),
        ("dns", "DNS"),
        ("connect", "connect"),
        ("tls", "TLS"),
        ("first", "first byte"),
        ("body", "rest"),
        ("answer", "merge and answer"),
        ("answered", "visitor answered"),
    )
    return el(
        "ul",
        [el("li", el("span", class_=f"swatch {name}", aria_hidden="true"), word) for name, word in names],
        class_="legend",
    )


def _nothing_walked(record: ClickRecord) -> str:
    if record.joined_click_id:
        return "Another click walked for this one; follow “joined”."
    if record.end_time is None:
        return "Waits for an IP …"
    return "No chain was walked."


def _answer(record: ClickRecord) -> Html | None:
    if record.answer is None:
        return None
    if not record.location:
        return join([el("h3", "The answer"), el("p", "204, nothing to go to: a beacon.", class_="quiet")])
    what = "302 to the landing page" if record.answer is Answer.LANDING else "302 to the fallback"
    return join([el("h3", "The answer"), el("p", what, class_="quiet"), el("p", _location(record), class_="location")])


def _location(record: ClickRecord) -> Child:
    """Renders the URL with each parameter in the colour of its origin; plain if the record does not match the URL."""
    split = SplitUrl.of(record.location)
    parts = parse(split.query or "")
    if [(part.name, part.value) for part in parts] != [(source.name, source.value) for source in record.params]:
        return record.location
    marked: list[Child] = [split.base]
    for number, (part, source) in enumerate(zip(parts, record.params, strict=True)):
        marked.append("&" if number else "?")
        marked.append(el("mark", serialize([part]), class_=source.origin.lower()))
    if split.fragment is not None:
        marked.append(f"#{split.fragment}")
    return marked


def _parameters(sources: Sequence[ParameterSource]) -> Html | None:
    if not sources:
        return None
    rows = [
        el(
            "tr",
            el("th", source.name, scope="row"),
            el("td", source.value, class_="value"),
            el("td", el("span", _origin(source), class_=f"badge {source.origin.lower()}")),
            el("td", source.rule, class_="quiet"),
        )
        for source in sources
    ]
    names = ("Parameter", "Value", "Origin", "Rule")
    head = el("tr", [el("th", name, scope="col") for name in names])
    return join(
        [
            el("h3", "Where each parameter came from"),
            el("div", el("table", el("thead", head), el("tbody", rows), class_="parameters"), class_="scroll"),
        ]
    )


def _origin(source: ParameterSource) -> str:
    if not source.origin.is_known:
        return wording.reason(source.origin)
    if source.origin is Origin.INBOUND:
        return "the click"
    if source.origin is Origin.OFFER:
        return "the offer"
    return f"chain, hop {source.hop_index}" if source.hop_index >= 0 else "chain"
