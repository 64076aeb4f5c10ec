"""Renders the parts of the console that change, for the first view and for every frame."""

from collections.abc import Sequence

from services.gateway.console import wording
from services.gateway.console.markup import Child, Html, el, join
from services.gateway.console.model import Cell, SizeAnswer, StateCounts
from services.gateway.console.pool_image import MOST_CELLS
from services.gateway.console.rates import Rates
from services.gateway.model import Answer, ClickRecord, ClickStatus
from services.gateway.urls.parameters import SplitUrl

MOST_RUNNING = 200
"""The number of running traces that are rendered or counted."""
_RUNNING_SHOWN = 6
_MOST_COUNTRIES = 60
_STATES = ("AVAILABLE", "IN_USE", "COOLDOWN", "UNHEALTHY", "DRAINED")
_STATE_NUMBERS = {state: number for number, state in enumerate(_STATES)}
_BUSY = 0.8


def cell(one: Cell) -> list[object]:
    """Returns a cell as the page's script reads it.

    That is: proxy id, address, country, provider, number of the state (one more than the last for a state that this
    build does not know), end of the cooldown (seconds since 1970), its own cooldown (seconds), consecutive failures.
    """
    return [
        one.proxy_id,
        one.address,
        one.country,
        one.provider,
        _STATE_NUMBERS.get(one.state, len(_STATES)),
        round(one.available_at, 2),
        one.cooldown,
        one.failures,
    ]


def notice(problem: str, total: StateCounts | None, shown: int) -> Html:
    """Renders a notice if the pool manager does not answer, or if the page shows only `shown` IPs of a larger pool."""
    if problem:
        return el(
            "p",
            el("strong", "The pool manager does not answer. "),
            f"What is shown of the pool is what was last known ({wording.reason(problem)}).",
            class_="notice bad",
        )
    if total is not None and MOST_CELLS <= shown < total.total:
        return el("p", f"The field shows {shown} of {total.total} IPs; figures and tables count all.", class_="notice")
    return Html("")


def figures(total: StateCounts | None, estimate: SizeAnswer | None, rates: Rates, *, pool_now: float) -> Html:
    """Renders the row of key figures; `pool_now` is the pool's clock, in seconds since 1970."""
    if total is None:
        names = ("Free IPs", "Utilization", "Grants / s", "Clicks / s", "Fallbacks", "Pool runs dry")
        return el("dl", [_figure(name, "–", "") for name in names], class_="figures")
    usable = total.available + total.in_use + total.cooldown
    out = total.unhealthy + total.drained
    dry, dry_note, dry_tone = _exhaustion(total, estimate, pool_now)
    share = rates.fallback_share()
    busy = "bad" if total.utilization > 0.95 else "warn" if total.utilization > _BUSY else ""
    return el(
        "dl",
        _figure(
            "Free IPs",
            [str(total.available), el("small", f" / {total.total}")],
            f"{out} out of service" if out else f"{total.in_use} in use, {total.cooldown} cooling",
            "bad" if usable and not total.available else "",
        ),
        _figure(
            "Utilization",
            wording.share(total.utilization),
            [_meter(total.utilization, "utilization"), el("span", "in use or cooling", class_="hidden")],
            busy,
        ),
        _figure("Grants / s", wording.rate(rates.grants(10)), "IPs leased, last 10 s"),
        _figure("Clicks / s", wording.rate(rates.clicks(10)), "answered, last 10 s"),
        _figure(
            "Fallbacks",
            wording.share(share),
            "of clicks, last 5 min",
            "" if share is None or share < 0.05 else "bad" if share > 0.25 else "warn",
        ),
        _figure("Pool runs dry", dry, dry_note, dry_tone),
        class_="figures",
    )


def _exhaustion(total: StateCounts, estimate: SizeAnswer | None, pool_now: float) -> tuple[str, str, str]:
    if not total.available:
        if total.next_available is None:
            return "now", "no IP will come back by itself", "bad"
        return "now", f"next IP in {wording.long_span(max(0.0, total.next_available - pool_now))}", "bad"
    if estimate is None or estimate.time_to_exhaustion is None:
        return "no", "not at the present rate", ""
    left = estimate.time_to_exhaustion
    return f"in {wording.long_span(left)}", "at the present rate", "bad" if left < 60 else "warn"


def _figure(name: str, value: Child, note: Child, tone: str = "") -> Html:
    return el("div", el("dt", name), el("dd", value), el("dd", note, class_="note"), class_=f"figure {tone}".strip())


def _meter(value: float, tone: str) -> Html:
    """Renders a bar for a value from 0 to 1, as SVG because the page allows no style attributes."""
    return el(
        "svg",
        el("rect", class_="track", width="100%", height="100%", rx=3),
        el("rect", class_=f"fill {tone}", width=f"{min(1.0, max(0.0, value)) * 100:.1f}%", height="100%", rx=3),
        class_="meter",
        aria_hidden="true",
    )


def legend(total: StateCounts | None) -> Html:
    """Renders the number of IPs in each state; it doubles as the key to the colours."""
    counts = (
        (total.available, total.in_use, total.cooldown, total.unhealthy, total.drained)
        if total
        else (None, None, None, None, None)
    )
    names = ("free", "in use", "cooling down", "unhealthy", "drained")
    return el(
        "ul",
        [
            el(
                "li",
                el("span", class_=f"swatch {state.lower()}", aria_hidden="true"),
                el("b", "–" if count is None else str(count)),
                f" {name}",
            )
            for state, name, count in zip(_STATES, names, counts, strict=True)
        ],
        class_="legend",
    )


def countries(counts: Sequence[StateCounts]) -> Html:
    """Renders the pool by country: countries without a free IP first, then by utilization."""
    if not counts:
        return el("p", "No IPs yet. Add some with ", el("code", "make provision"), ".", class_="quiet")
    busiest = sorted(counts, key=lambda one: (one.available > 0, -one.utilization, one.country))
    rows = [
        el(
            "tr",
            el("th", el("span", one.country.upper(), class_="country"), scope="row"),
            el("td", _stack(one), class_="wide"),
            el("td", str(one.available), el("span", f" / {one.total}", class_="quiet"), class_="number"),
            el("td", wording.share(one.utilization), class_="number warn" if one.utilization > _BUSY else "number"),
        )
        for one in busiest[:_MOST_COUNTRIES]
    ]
    head = el(
        "tr",
        el("th", "Country", scope="col"),
        el("th", el("span", "States", class_="hidden"), scope="col"),
        el("th", "Free", scope="col", class_="number"),
        el("th", "Busy", scope="col", class_="number"),
    )
    more = len(busiest) - _MOST_COUNTRIES
    return join(
        [
            el(
                "table",
                el("caption", "The pool by country, the scarcest first", class_="hidden"),
                el("thead", head),
                el("tbody", rows),
                class_="countries",
            ),
            el("p", f"and {more} more", class_="quiet") if more > 0 else None,
        ]
    )


def _stack(one: StateCounts) -> Html:
    """Renders the states of a country's IPs as one bar."""
    counts = (one.in_use, one.cooldown, one.available, one.unhealthy, one.drained)
    states = ("in_use", "cooldown", "available", "unhealthy", "drained")
    at = 0.0
    pieces = []
    for state, count in zip(states, counts, strict=True):
        width = 100 * count / one.total if one.total else 0.0
        if count:
            pieces.append(el("rect", class_=state, x=f"{at:.2f}%", width=f"{width:.2f}%", height="100%"))
        at += width
    words = ", ".join(
        f"{count} {name}"
        for name, count in zip(("in use", "cooling", "free", "unhealthy", "drained"), counts, strict=True)
        if count
    )
    return el("svg", pieces, class_="stack", role="img", aria_label=words)


def click_row(record: ClickRecord) -> Html:
    """Renders a click as one line that links to its page."""
    tone, label = tone_and_label(record)
    exit_ip = record.attempts[-1].ip_address if record.attempts else ""
    hops = len(record.hops)
    facts = [
        f"{hops} {'hop' if hops == 1 else 'hops'}" if hops else None,
        exit_ip or None,
        "joined another click" if record.joined_click_id else None,
    ]
    return el(
        "li",
        el(
            "a",
            el("time", wording.clock(record.start_time), datetime=record.start_time.isoformat(timespec="milliseconds")),
            el("span", record.offer, class_="name"),
            el("span", wording.span(record.visitor_wait), class_="wait"),
            el(
                "span",
                el("span", label, class_=f"badge {tone}"),
                el("span", " · ".join(fact for fact in facts if fact), class_="facts"),
                class_="more",
            ),
            href=f"/console/clicks/{record.click_id}",
        ),
        data_click=record.click_id,
        data_kind="landing" if record.answer is Answer.LANDING else "other",
        data_version=record.version,
    )


def tone_and_label(record: ClickRecord) -> tuple[str, str]:
    """Returns the tone and the text of a click's badge."""
    if record.status is ClickStatus.ABANDONED:
        return "bad", "abandoned"
    if record.answer is not None and not record.answer.is_known:
        return "calm", wording.reason(record.answer)
    if record.answer is Answer.LANDING:
        return ("warn", f"landed, {wording.reason(record.reason)}") if record.reason else ("good", "landed")
    late = {
        ClickStatus.COMPLETED: ", landed later",
        ClickStatus.TRACING: ", trace goes on",
    }.get(record.status, "")
    if record.answer is Answer.NO_CONTENT:
        return "calm", f"beacon{late}"
    if record.answer is Answer.FALLBACK:
        quiet = record.status is ClickStatus.NOT_TRACED and record.reason in ("REDIRECT_ONLY", "HEAD", "PREFETCH")
        return "calm" if quiet else "bad" if not late else "warn", f"{wording.reason(record.reason)}{late}"
    if record.end_time is not None:
        return "bad", wording.reason(record.reason)
    return "live", "tracing"


def running(records: Sequence[ClickRecord], now: float) -> Html:
    """Renders the traces that have run for more than 0.4 s; `now` is in seconds since 1970."""
    slow = [record for record in records if now - record.start_time.timestamp() > 0.4]
    if not slow:
        return Html("")
    rows = [
        el(
            "li",
            el(
                "a",
                el("span", class_="pulse", aria_hidden="true"),
                el("span", record.offer, class_="name"),
                el("span", wording.span(now - record.start_time.timestamp()), class_="wait"),
                el(
                    "span",
                    el("span", "tracing" if record.answer is None else "answered, tracing", class_="badge live"),
                    el("span", _so_far(record), class_="facts"),
                    class_="more",
                ),
                href=f"/console/clicks/{record.click_id}",
            ),
        )
        for record in slow[:_RUNNING_SHOWN]
    ]
    more = len(slow) - _RUNNING_SHOWN
    return el("ul", rows, el("li", f"and {more} more under way", class_="quiet rest") if more > 0 else None)


def _so_far(record: ClickRecord) -> str:
    if record.joined_click_id:
        return "waits for the click it joined"
    if not record.attempts:
        return "waits for an IP"
    hops = len(record.hops)
    last = SplitUrl.of(record.hops[-1].next_url or record.hops[-1].url).host if record.hops else ""
    walked = f" · {hops} {'hop' if hops == 1 else 'hops'}" if hops else ""
    return f"{record.attempts[-1].ip_address}{walked}{f' → {last}' if last else ''}"
