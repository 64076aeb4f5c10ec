"""Every event that the code logs is in docs/logs.md, and every event there is logged."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[4]
LEVELS = ("debug", "info", "warning", "error", "exception", "log")
EVENT = re.compile(r"[a-z_]+(?:\.[a-z_]+)+")


def logged() -> Mapping[str, str]:
    """Returns every event with the first place that logs it."""
    events: dict[str, str] = {}
    for path in sorted([*ROOT.glob("services/**/*.py"), *ROOT.glob("libs/**/*.py")]):
        for call in calls(ast.parse(path.read_text())):
            place = f"{path.relative_to(ROOT)}:{call.lineno}"
            assert isinstance(call.func, ast.Attribute)
            argument = call.args[1 if call.func.attr == "log" else 0]
            names = [node.value for node in ast.walk(argument) if isinstance(node, ast.Constant)]
            found = [name for name in names if isinstance(name, str) and EVENT.fullmatch(name)]
            assert found, f"{place} logs no event with a dotted lower-case name"
            for name in found:
                events.setdefault(name, place)
    return events


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Yields the calls that log something: `log.info(…)` and its kind."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr in LEVELS and isinstance(node.func.value, ast.Name) and node.func.value.id == "log":
            yield node


def test_the_list_of_events_is_the_list_of_what_is_logged() -> None:
    documented = re.findall(r"^\| `([a-z_.]+)` \|", (ROOT / "docs/logs.md").read_text(), re.MULTILINE)
    assert len(documented) == len(set(documented)), "an event is listed twice"
    events = logged()
    missing = {name: place for name, place in events.items() if name not in documented}
    assert not missing, "add them to docs/logs.md"
    assert set(documented) <= set(events), "docs/logs.md lists what is not logged any more"
