"""The badge of a click says what became of it."""

import pytest

from services.gateway.console import parts
from services.gateway.model import (
    Answer,
    ClickStatus,
)
from tests.unit.gateway.console.samples import record


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, ("good", "landed")),
        ({"answer": None, "end_time": None, "status": ClickStatus.PENDING}, ("live", "tracing")),
        (
            {"answer": Answer.FALLBACK, "reason": "MAX_WAIT", "status": ClickStatus.TRACING},
            ("warn", "slower than the visitor waits, trace goes on"),
        ),
        (
            {"answer": Answer.FALLBACK, "reason": "NO_AVAILABLE_IP", "status": ClickStatus.FAILED},
            ("bad", "no free IP"),
        ),
        ({"answer": Answer.NO_CONTENT, "reason": "BEACON"}, ("calm", "beacon, landed later")),
        ({"status": ClickStatus.ABANDONED}, ("bad", "abandoned")),
        ({"answer": Answer("NEWER_ANSWER")}, ("calm", "newer answer")),
    ],
)
def test_how_a_click_stands(changes: dict[str, object], label: tuple[str, str]) -> None:
    assert parts.tone_and_label(record(**changes)) == label
