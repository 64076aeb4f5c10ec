"""The load script finds IPs that two clicks had at the same time, and only those."""

import io

import pytest

from clicktrace.gateway.v1 import gateway_pb2 as pb
from libs.common.rpc.times import to_duration
from local.tools.load import Progress, Row, Shot, in_use_twice, main


def row(*uses: tuple[str, float, float | None], start: float = 1_000_000.0) -> Row:
    """A click whose attempts had these addresses, each after so long a wait and for so long (None: still)."""
    click = pb.Click()
    click.start_time.FromNanoseconds(round(start * 1e9))
    for address, wait, span in uses:
        click.attempts.add(
            ip_address=address,
            lease_wait=to_duration(wait),
            trace_time=None if span is None else to_duration(span),
        )
    return Row(Shot(1, 302, 0.1), click)


@pytest.mark.parametrize(
    ("rows", "twice"),
    [
        ([row(("a", 0, 1)), row(("b", 0, 1))], []),
        ([row(("a", 0, 1)), row(("a", 0.5, 1))], ["a:0"]),
        ([row(("a", 0, 1)), row(("a", 2, 1))], []),
        ([row(("a", 0, 1)), row(("a", 0, 1), start=1_000_002.0)], []),
        ([row(("a", 0, None)), row(("a", 2, 1))], ["a:0"]),
        ([row(("x", 0, 1), ("a", 0, 1)), row(("a", 1.5, 1))], ["a:0"]),
        ([row(("x", 0, 1), ("a", 0, 1)), row(("a", 0, 0.9))], []),
        ([Row(Shot(1, 0, 1.0, error="gone"), None)], []),
    ],
)
def test_an_address_that_two_clicks_had_at_the_same_time_is_found(rows: list[Row], twice: list[str]) -> None:
    assert in_use_twice(rows) == twice


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_bar_on_a_terminal_and_nothing_elsewhere() -> None:
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        progress = Progress(2, stream)
        progress.step()
        progress.step()
    assert terminal.getvalue() == "\r" + "█" * 20 + "·" * 20 + " 1/2\r" + "█" * 40 + " 2/2\n"
    assert file.getvalue() == ""


def test_a_misspelt_token_is_told_before_anybody_clicks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWAY_OPERATOR_TOKN", "marker")
    with pytest.raises(SystemExit) as caught:
        main(["--url", "http://127.0.0.1:9/"])
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert "the nearest is GATEWAY_OPERATOR_TOKEN" in told
    assert "marker" not in told
