"""Rules, dashboard and docs/alerts.md agree with each other and with the metrics there are."""

import re
from pathlib import Path

import pytest

from tests.support.metrics import known
from tests.support.rules import (
    DASHBOARD,
    RULES_TEST,
    Query,
    alerts,
    label_sets,
    names,
    panel_queries,
    panels,
    recorded,
    rule_queries,
)

DOCS = Path(__file__).parents[2] / "docs"
QUERIES = [*rule_queries(), *panel_queries()]
METRICS = {series: metric for metric in known() for series in metric.series}
# What Prometheus and the histogram add.
ADDED = {"instance", "job", "namespace", "pod", "le"}


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.place)
def test_every_query_asks_for_metrics_and_labels_that_there_are(query: Query) -> None:
    asked = names(query.expr)
    assert asked
    assert asked <= METRICS.keys() | recorded()
    for name, labels in label_sets(query.expr):
        if name in METRICS:
            assert labels <= {*METRICS[name].labels, *ADDED}


def test_every_metric_can_be_seen() -> None:
    """What no panel and no rule shows, nobody looks at."""
    shown = {METRICS[name].name for query in QUERIES for name in names(query.expr) if name in METRICS}
    assert shown == {metric.name for metric in known()}


def test_each_alert_has_a_section_that_its_link_leads_to() -> None:
    headings = re.findall(r"^## (Clicktrace\w+)$", (DOCS / "alerts.md").read_text(), re.MULTILINE)
    assert headings == list(alerts())
    for name, rule in alerts().items():
        assert rule["annotations"]["runbook_url"] == f"docs/alerts.md#{name.lower()}"
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}


def test_each_alert_has_a_unit_test_in_which_it_fires() -> None:
    text = RULES_TEST.read_text()
    fires = re.findall(r"alertname: (\w+)\n +exp_alerts:\n", text)
    assert set(fires) == set(alerts())


def test_panels_that_the_alerts_page_speaks_of_are_there() -> None:
    titles = {panel["title"] for panel in panels()}
    text = (DOCS / "alerts.md").read_text()
    spoken = set(re.findall(r"\*([A-Z][\w ]+)\*", text)) - {"Critical"}
    assert spoken
    assert spoken <= titles


@pytest.mark.parametrize("page", ["alerts.md", "metrics.md"])
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", (DOCS / page).read_text()):
        path, _, anchor = target.partition("#")
        found = DOCS / path if path else DOCS / page
        assert found.exists(), target
        headings = re.findall(r"^#+ (.+)$", found.read_text(), re.MULTILINE) if anchor else []
        anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, target


def test_panels_do_not_overlap_and_ids_are_unique() -> None:
    taken: set[tuple[int, int]] = set()
    ids = []
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (column, line)
            for column in range(place["x"], place["x"] + place["w"])
            for line in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
        ids.append(panel["id"])
    assert len(set(ids)) == len(ids)
    assert "localhost" not in DASHBOARD.read_text()
