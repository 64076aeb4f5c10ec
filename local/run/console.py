"""What a person at the terminal gets to read: progress, a table of addresses, and the logs of the services."""

import sys
from collections.abc import Iterable
from typing import TextIO

_GREEN, _RED, _DIM, _BOLD, _RESET = "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[1m", "\x1b[0m"


class Console:
    """Writes to one stream, in colour where that is a terminal that wants it.

    A reader that went away is no reason to stop: what cannot be written is dropped.
    """

    def __init__(self, stream: TextIO | None = None, *, colour: bool | None = None) -> None:
        self._stream = stream or sys.stdout
        self.colour = self._stream.isatty() if colour is None else colour
        encoding = (self._stream.encoding or "ascii").lower().replace("-", "")
        self._done, self._failed = ("✓", "✗") if encoding == "utf8" else ("ok", "!!")

    def line(self, text: str = "") -> None:
        """Writes one line."""
        try:
            print(text, file=self._stream, flush=True)
        except OSError:
            return

    def step(self, name: str, seconds: float, remark: str = "") -> None:
        """Reports that a step of the start is done, and how long it took."""
        mark = self._paint(_GREEN, self._done)
        self.line(f"  {mark} {name:<22}{seconds:6.2f} s   {self._paint(_DIM, remark)}".rstrip())

    def failure(self, text: str) -> None:
        """Reports what ends the run."""
        self.line(f"  {self._paint(_RED, self._failed)} {text}")

    def note(self, text: str) -> None:
        """Says something in passing."""
        self.line(f"  {self._paint(_DIM, text)}")

    def title(self, text: str) -> None:
        """Opens a part of the output."""
        self.line(f"\n  {self._paint(_BOLD, text)}\n")

    def table(self, rows: Iterable[tuple[str, str]]) -> None:
        """Writes rows of a name and what belongs to it."""
        for name, value in rows:
            self.line(f"  {self._paint(_DIM, f'{name:<14}')}{value}".rstrip())

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_RESET}" if self.colour and text else text
