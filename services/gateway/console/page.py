"""Renders whole pages: the console, one click, and the sign-in form."""

from collections.abc import Mapping

from services.gateway.console.markup import Child, Html, document, el

_ANCHORS = (("pool", "Pool"), ("clicks", "Clicks"), ("offers", "Offers"), ("size", "Pool size"))


def console(parts: Mapping[str, str], *, static: str, version: str, asks_token: bool) -> Html:
    """Renders the console; `parts` are filled in by name, and updated by the page's script."""

    def part(name: str, tag: str = "div", **attributes: str) -> Html:
        return el(tag, Html(parts.get(name, "")), id=f"part-{name}", **attributes)

    body = el(
        "body",
        el("a", "Skip to the clicks", href="#clicks", class_="skip"),
        _masthead(
            el("nav", [el("a", name, href=f"#{anchor}") for anchor, name in _ANCHORS], aria_label="Sections"),
            el("p", "connecting", id="live", role="status", class_="live waiting"),
            _sign_out() if asks_token else None,
        ),
        el(
            "main",
            part("notice", role="status"),
            part("figures", "section", aria_label="The pool in figures"),
            el(
                "div",
                el(
                    "div",
                    _pool_card(part("legend"), part("countries", class_="scroll")),
                    _history_card(),
                    class_="stacked",
                ),
                el(
                    "div",
                    _clicks_card(part("running", class_="running", aria_label="Traces under way")),
                    class_="beside",
                ),
                class_="columns",
            ),
            el("div", _offers_card(part("offers", class_="scroll")), _size_card(), class_="columns loose"),
        ),
        el("dialog", id="drawer", aria_label="One click"),
        el("p", id="spoken", class_="hidden", aria_live="polite"),
        el("noscript", el("p", "Without scripts this page shows the state of its loading.", class_="notice")),
        data_version=version,
    )
    head = [
        _link("stylesheet", f"{static}/console.css"),
        _link("stylesheet", f"{static}/vendor/uPlot.min.css"),
        _icon(static),
        el("script", src=f"{static}/vendor/uPlot.iife.min.js", defer=True),
        el("script", src=f"{static}/console.js", type="module"),
    ]
    return document(title="Clicktrace", head=head, body=body)


def one_click(fragment: Html, *, static: str) -> Html:
    """Renders a click as a page of its own."""
    body = el(
        "body",
        _masthead(el("nav", el("a", "← Console", href="/console"), aria_label="Sections")),
        el("main", el("section", fragment, class_="card"), class_="narrow"),
    )
    head = [_link("stylesheet", f"{static}/console.css"), _icon(static)]
    return document(title="Clicktrace: one click", head=head, body=body)


def sign_in(*, static: str, problem: str = "") -> Html:
    """Renders the sign-in form, with a `problem` of the last attempt if there was one."""
    form = el(
        "form",
        el("h1", "Clicktrace"),
        el(
            "p",
            "The console shows clicks and can start traces, so it asks for the operator token once.",
            class_="quiet",
        ),
        el("label", "Operator token", for_="token"),
        el(
            "input",
            id="token",
            name="token",
            type="password",
            autocomplete="current-password",
            required=True,
            autofocus=True,
            aria_describedby="problem" if problem else None,
        ),
        el("p", problem, id="problem", class_="notice bad", role="alert") if problem else None,
        el("button", "Open the console", type="submit", class_="primary"),
        method="post",
        action="/console/session",
        class_="card sign-in",
    )
    head = [_link("stylesheet", f"{static}/console.css"), _icon(static)]
    return document(title="Clicktrace: sign in", head=head, body=el("body", el("main", form, class_="centred")))


def _masthead(*children: Child) -> Html:
    logo = el(
        "svg",
        el("path", d="M3 12h5l3-7 4 14 3-7h3"),
        class_="logo",
        viewBox="0 0 24 24",
        aria_hidden="true",
    )
    return el("header", el("a", logo, el("span", "Clicktrace"), href="/console", class_="brand"), children)


def _sign_out() -> Html:
    return el("form", el("button", "Sign out", type="submit"), method="post", action="/console/session/end")


def _card(anchor: str, title: str, tools: Child, *content: Child) -> Html:
    return el(
        "section",
        el("div", el("h2", title, id=f"{anchor}-title"), tools, class_="card-head"),
        content,
        id=anchor,
        class_="card",
        aria_labelledby=f"{anchor}-title",
    )


def _pool_card(legend: Html, countries: Html) -> Html:
    field = el(
        "canvas",
        id="field",
        tabindex=0,
        role="img",
        aria_label="The IPs of the pool, one cell each. Arrow keys go from cell to cell; the table below counts them.",
        aria_describedby="cell-told",
    )
    told = el("p", "Every cell is one IP; its colour drains as its cooldown ends.", id="cell-told", class_="quiet told")
    return _card("pool", "Pool", legend, el("div", field, class_="field"), told, countries)


def _clicks_card(running: Html) -> Html:
    tools = el(
        "div",
        el("label", el("input", type="checkbox", id="only-other"), " no landings", class_="toggle"),
        el("button", "Pause", id="pause", type="button", aria_pressed="false"),
        class_="tools",
    )
    search = el(
        "form",
        el("label", "Click id", for_="click-id", class_="hidden"),
        el(
            "input",
            id="click-id",
            name="id",
            placeholder="Open a click by its id",
            pattern="[0-9a-f]{32}",
            maxlength=32,
            autocomplete="off",
            spellcheck="false",
        ),
        el("button", "Open", type="submit"),
        action="/console/clicks",
        method="get",
        id="find",
        class_="find",
    )
    empty = el(
        "p",
        "No click yet. Open a click link of an offer below, or let one be traced, and it appears here.",
        id="no-clicks",
        class_="quiet empty",
    )
    return _card("clicks", "Clicks", tools, search, running, empty, el("ol", id="click-list", class_="click-list"))


def _history_card() -> Html:
    charts = el(
        "div",
        el(
            "figure",
            el("figcaption", "Utilization"),
            el("div", id="chart-utilization", class_="chart"),
        ),
        el(
            "figure",
            el("figcaption", "Grants per second"),
            el("div", id="chart-grants", class_="chart"),
        ),
        class_="charts",
    )
    return _card("history", "The last hour", None, charts)


def _offers_card(offers: Html) -> Html:
    return _card("offers", "Offers", None, offers)


def _size_card() -> Html:
    def slider(name: str, label: str) -> Html:
        return el(
            "div",
            el("label", label, for_=f"size-{name}"),
            el("output", "–", id=f"size-{name}-value", for_=f"size-{name}"),
            el("input", id=f"size-{name}", type="range", min=0, max=1000, step=1),
            class_="slider",
        )

    live = el("button", "As now", id="size-live", type="button", aria_pressed="true")
    form = el(
        "form",
        slider("rate", "Clicks a second"),
        slider("trace", "A trace takes"),
        slider("cooldown", "Cooldown of an IP"),
        slider("loss", "Clicks that may find no IP"),
        slider("added", "IPs added or taken away"),
        id="size-form",
    )
    return _card("size", "How many IPs?", live, form, el("div", id="size-answer", class_="estimate", aria_live="off"))


def _link(rel: str, href: str) -> Html:
    return el("link", rel=rel, href=href)


def _icon(static: str) -> Html:
    return el("link", rel="icon", href=f"{static}/icon.svg", type="image/svg+xml")
