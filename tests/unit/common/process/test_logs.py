"""Logs are one JSON object a line, carry the trace they belong to, and are for people on a terminal."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys
from opentelemetry.sdk.trace import TracerProvider
from libs.common.process import logs
logs.setup("sample", sys.argv[1], "info")
log = logs.get("sample.module")
log.debug("not.written")
log.info("click.answered", click_id="c1", wait_ms=12.5)
with TracerProvider().get_tracer("t").start_as_current_span("span") as span:
    log.warning("inside", trace=format(span.get_span_context().trace_id, "032x"))
with logs.about(click_id="c2"):
    with logs.about(offer="o"):
        log.info("within", wait_ms=1)
    log.info("nearer", click_id="c3")
log.info("without")
logging.getLogger("some.library").error("it %s", "broke")
def fail(password):
    1 / 0
try:
    fail("marker-of-a-secret")
except ZeroDivisionError:
    log.exception("failed")
"""


def lines(fmt: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, fmt], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_each_event_is_one_json_object() -> None:
    click, inside, *_, library, failed = (json.loads(line) for line in lines("json"))
    assert click.pop("timestamp").endswith("Z")
    assert click == {
        "event": "click.answered",
        "click_id": "c1",
        "wait_ms": 12.5,
        "level": "info",
        "logger": "sample.module",
        "service": "sample",
    }
    assert inside["trace_id"] == inside["trace"]
    assert len(inside["span_id"]) == 16
    assert (library["event"], library["level"], library["logger"]) == ("it broke", "error", "some.library")
    assert "ZeroDivisionError" in failed["exception"]


def test_what_the_work_is_about_is_in_each_of_its_lines() -> None:
    within, nearer, without = (json.loads(line) for line in lines("json")[2:5])
    assert (within["event"], within["click_id"], within["offer"]) == ("within", "c2", "o")
    assert nearer["click_id"] == "c3", "what a line itself says is said of it alone"
    assert "offer" not in nearer
    assert "click_id" not in without


def test_without_a_terminal_auto_means_json() -> None:
    assert json.loads(lines("auto")[0])["event"] == "click.answered"


@pytest.mark.parametrize("fmt", ["json", "console"])
def test_a_traceback_shows_no_values(fmt: str) -> None:
    said = "\n".join(lines(fmt))
    assert "ZeroDivisionError" in said
    assert "marker-of-a-secret" not in said.replace('fail("marker-of-a-secret")', "")


def test_the_console_form_is_for_people() -> None:
    first, *_ = lines("console")
    assert "click.answered" in first
    assert "click_id=c1" in first
    assert "trace_id" not in first
