"""HTML as values: text is escaped unless it is `Html` already, so no caller has to remember to escape."""

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

_VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "rect", "line", "circle", "path"})


class Html(str):
    """Text that is safe HTML. Outside this module it is made only from other `Html`."""

    __slots__ = ()


Child: TypeAlias = "str | int | Html | Iterable[Child] | None"
Attribute: TypeAlias = str | int | float | bool | None


def el(tag: str, *children: Child, **attributes: Attribute) -> Html:
    """Returns an element.

    Attributes are given as Python names: a trailing underscore is dropped (`class_`), others become hyphens
    (`data_id`). True stands for an attribute without a value; those that are None or False are left out.
    """
    head = tag + "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _VOID:
        return Html(f"<{head}>") if tag not in ("rect", "line", "circle", "path") else Html(f"<{head}/>")
    return Html(f"<{head}>{join(children)}</{tag}>")


def join(children: Child) -> Html:
    """Concatenates children, each escaped unless it is `Html`; None is left out."""
    if children is None:
        return Html("")
    if isinstance(children, Html):
        return children
    if isinstance(children, str | int):
        return Html(escape(str(children)))
    return Html("".join(join(child) for child in children))


def document(*, title: str, head: Child, body: Html) -> Html:
    """Returns a complete HTML document."""
    html = el(
        "html",
        el(
            "head",
            el("meta", charset="utf-8"),
            el("meta", name="viewport", content="width=device-width, initial-scale=1"),
            el("meta", name="color-scheme", content="light dark"),
            el("meta", name="robots", content="noindex"),
            el("title", title),
            head,
        ),
        body,
        lang="en",
    )
    return Html(f"<!doctype html>{html}")


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    written = name.removesuffix("_").replace("_", "-")
    return f" {written}" if value is True else f' {written}="{escape(str(value))}"'
