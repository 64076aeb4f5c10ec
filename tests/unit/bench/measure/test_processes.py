"""What processes cost, as the kernel counts it."""

import os
import subprocess
import sys
import time

from bench.measure import processes


def busy(seconds: float) -> None:
    """Uses so many seconds of CPU, however long that takes."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_cpu_is_what_a_process_has_used() -> None:
    before = processes.cpu([os.getpid()])
    busy(0.1)
    # The kernel counts in hundredths of a second.
    assert processes.cpu([os.getpid()]) - before >= 0.08


def test_cpu_counts_children_that_have_ended() -> None:
    before = processes.cpu([os.getpid()])
    work = "import time\nwhile time.process_time() < 0.15: pass"
    subprocess.run([sys.executable, "-S", "-c", work], check=True)
    assert processes.cpu([os.getpid()]) - before >= 0.12


def test_memory_is_what_is_resident() -> None:
    before = processes.memory([os.getpid()])
    held = bytearray(os.urandom(32 * 2**20))
    assert len(held) / 2**20 * 0.9 <= processes.memory([os.getpid()]) - before


def test_several_processes_are_added_up() -> None:
    one = processes.memory([os.getpid()])
    assert processes.memory([os.getpid(), os.getpid()]) >= 1.9 * one


def test_a_family_is_a_process_and_its_children() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as child:
        family = processes.family(os.getpid())
        assert family[0] == os.getpid()
        assert child.pid in family
        assert processes.family(child.pid) == [child.pid]
        child.communicate(b"\n")


def test_a_process_that_has_ended_counts_for_nothing() -> None:
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    assert processes.cpu([ended.pid]) == 0
    assert processes.memory([ended.pid]) == 0
