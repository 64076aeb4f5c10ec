"""The landing page of the demo offers, and the page that lists them; self-contained, in light and dark."""

from collections.abc import Iterable, Mapping
from html import escape
from urllib.parse import parse_qsl

HEADERS = {
    # The page shows what stood in its URL, so nothing of it may run.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2530; --quiet: #66717f; --line: #dfe4ea; --ground: #f5f7f9; --card: #fff;
        --mark: #0b6e4f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e9ef; --quiet: #93a0ae; --line: #2c3642; --ground: #12181f; --card: #1a222b; --mark: #5fd3a8; }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 6vh 1.25rem; background: var(--ground); color: var(--ink);
       font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 44rem; margin: 0 auto; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; letter-spacing: -.01em; }
p { margin: 0 0 1.5rem; color: var(--quiet); }
section { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: 1rem 1.25rem;
          margin-bottom: 1rem; overflow-x: auto; }
h2 { font-size: .8rem; font-weight: 600; text-transform: uppercase; letter-spacing: .06em; color: var(--quiet);
     margin: 0 0 .5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .75rem .35rem 0; border-top: 1px solid var(--line); vertical-align: top; }
tr:first-child > * { border-top: 0; }
th { font-weight: 500; color: var(--quiet); white-space: nowrap; width: 1%; }
td { font-family: ui-monospace, monospace; font-size: .9rem; overflow-wrap: anywhere; }
strong, a { color: var(--mark); font-weight: 600; }
"""

_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Ccircle cx='8' cy='8' r='6' fill='%230b6e4f'/%3E%3C/svg%3E"
)


def landing(query: str, *, walked_from: str | None, visited_from: str) -> str:
    """Renders the landing page: what stood in the URL, which address walked the chain, and which one visits now."""
    addresses = {
        "the chain was walked from": f"<strong>{escape(walked_from)}</strong>" if walked_from else "an unknown clickid",
        "this page was asked for from": escape(visited_from),
    }
    parameters = [(escape(name), escape(value)) for name, value in parse_qsl(query, keep_blank_values=True)]
    return _page(
        "You have landed",
        "The end of a demo chain. Every parameter below was in the URL that you were sent to.",
        _table("Addresses", addresses.items()),
        _table("Parameters", parameters) if parameters else _table("Parameters", [("none", "")]),
    )


def index(chains: Mapping[str, str]) -> str:
    """Renders the list of offers; `chains` is the tracking URL of each."""
    rows = [(escape(name), f'<a href="{escape(url)}">{escape(url)}</a>') for name, url in chains.items()]
    return _page(
        "The demo offer network",
        "Each chain as a browser would walk it, without Clicktrace.",
        _table("Offers", rows),
    )


def _table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Renders rows of html."""
    lines = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows)
    return f"<section><h2>{title}</h2><table>{lines}</table></section>"


def _page(title: str, subtitle: str, *sections: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{title}</title><link rel="icon" href="{_ICON}"><style>{_STYLE}</style></head>'
        f"<body><main><h1>{title}</h1><p>{subtitle}</p>{''.join(sections)}</main></body></html>"
    )
