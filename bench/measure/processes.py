"""CPU time and memory of processes, as the kernel counts them."""

import os
from collections.abc import Iterable
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu(pids: Iterable[int]) -> float:
    """Returns the CPU seconds that processes have used, with those of their children that have ended."""
    total = 0
    for pid in pids:
        # The name of the program, in parentheses, may hold anything; what follows it is numbers.
        fields = _read(pid, "stat").rpartition(")")[2].split()
        total += sum(map(int, fields[11:15]))
    return total / _TICK


def memory(pids: Iterable[int]) -> float:
    """Returns the resident memory of processes in MiB; one that has ended has none."""
    return sum(int(pages) for pid in pids for pages in _read(pid, "statm").split()[1:2]) * _PAGE / 2**20


def family(pid: int) -> list[int]:
    """Returns a process and its children."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def _read(pid: int, name: str) -> str:
    """Returns a file of a process; empty if the process has ended, as workers of PostgreSQL do at any moment."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
