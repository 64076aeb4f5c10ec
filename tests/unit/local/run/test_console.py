"""Proves that the console draws for a terminal, writes plainly elsewhere, and survives a reader that went away."""

import io

from local.run.console import Console


class Gone(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_steps_and_tables_are_aligned() -> None:
    stream = io.StringIO()
    console = Console(stream)
    console.step("postgres", 0.123, "ready")
    console.table([("click", "curl"), ("", "more")])
    console.failure("port 1 is taken")
    assert stream.getvalue().splitlines() == [
        "  ok postgres                0.12 s   ready",
        "  click         curl",
        "                more",
        "  !! port 1 is taken",
    ]


def test_colour_is_used_where_it_is_wanted() -> None:
    stream = io.StringIO()
    Console(stream, colour=True).failure("no")
    assert "\x1b[31m" in stream.getvalue()


def test_a_reader_that_went_away_is_no_reason_to_stop() -> None:
    Console(Gone()).line("anybody there?")
