"""docs/metrics.md lists every metric with its type, labels and meaning, and none that there is not."""

import re
from pathlib import Path

from tests.support.metrics import Metric, known

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
_ROW = re.compile(r"^\| `(clicktrace_\w+)` \| (\w+) \| (.+?) \| (.+) \|$", re.MULTILINE)


def test_the_page_and_the_code_agree() -> None:
    listed = [
        Metric(name, kind, tuple(re.findall(r"`(\w+)`", labels)), meaning)
        for name, kind, labels, meaning in _ROW.findall(PAGE.read_text())
    ]
    assert sorted(listed) == known()


def test_names_follow_the_conventions() -> None:
    for metric in known():
        assert re.fullmatch(r"clicktrace(_(gateway|pool|tracer))?(_[a-z]+)+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.meaning.endswith(".")
        if metric.kind == "histogram" and metric.name not in {"clicktrace_group_size", "clicktrace_tracer_trace_hops"}:
            assert metric.name.endswith("_seconds")


def test_the_autoscaler_finds_what_it_reads() -> None:
    assert "clicktrace_tracer_traces_in_flight" in {metric.name for metric in known()}
