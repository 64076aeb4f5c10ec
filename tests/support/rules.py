"""The rules and the dashboard, as their queries."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MONITORING = Path(__file__).parents[2] / "k8s" / "components" / "monitoring"
RULES = MONITORING / "rules" / "clicktrace.rules.yaml"
RULES_TEST = MONITORING / "rules" / "clicktrace.rules.test.yaml"
DASHBOARD = MONITORING / "dashboards" / "clicktrace.json"


@dataclass(frozen=True, slots=True)
class Query:
    """One query, and where it stands."""

    place: str
    expr: str


def rules() -> Sequence[dict[str, Any]]:
    """Returns all rules, recorded ones and alerts."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """Returns the alerts by their names."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def recorded() -> set[str]:
    """Returns the names of what is recorded."""
    return {rule["record"] for rule in rules() if "record" in rule}


def panels() -> Iterator[dict[str, Any]]:
    """Yields the panels of the dashboard that have queries."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        if panel["type"] != "row":
            yield panel


def panel_queries() -> Sequence[Query]:
    """Returns every query of the dashboard as Grafana sends it with every variable at its default."""
    return [
        Query(f"{panel['title']} {target['refId']}", target["expr"].replace("$offer", ".*"))
        for panel in panels()
        for target in panel["targets"]
    ]


def rule_queries() -> Sequence[Query]:
    """Returns the query of every rule."""
    return [Query(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()]


def names(expr: str) -> set[str]:
    """Returns the metrics that a query asks for."""
    return set(re.findall(r"\bclicktrace[_:][\w:]+", expr))


def label_sets(expr: str) -> Iterator[tuple[str, set[str]]]:
    """Yields each metric that a query narrows, with the labels it narrows it by."""
    for name, inside in re.findall(r"\b(clicktrace[_:][\w:]+)\{([^}]*)\}", expr):
        yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inside))
