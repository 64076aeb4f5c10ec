"""Ties the life of a child process to the process that started it, so that `kill -9` leaves no orphan."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

from local.errors import LocalError

_PR_SET_PDEATHSIG = 1


def follow_parent(number: signal.Signals) -> Callable[[], None]:
    """Returns a `preexec_fn` that has the kernel send `number` to the child when its parent dies.

    The kernel watches the *thread* that forked, so start children from a thread that lives as long as they may. A
    change of user clears the setting; `subprocess` changes the user before it calls a `preexec_fn`, so the order is
    right. Source: prctl(2), PR_SET_PDEATHSIG.

    Raises LocalError where there is no such thing (anything but Linux).
    """
    set_signal = _prctl()
    parent = os.getpid()

    def before_exec() -> None:
        if number != signal.SIGKILL:
            # Until exec the child still has Python's handlers, which would swallow the signal.
            signal.signal(number, signal.SIG_DFL)
        set_signal(number)
        if os.getppid() != parent:  # it died before the kernel was asked to watch it
            os._exit(1)

    return before_exec


def stop_with_parent(number: signal.Signals = signal.SIGTERM) -> None:
    """Has the kernel send `number` to this process when its own parent dies."""
    parent = os.getppid()
    _prctl()(number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def _prctl() -> Callable[[int], None]:
    if sys.platform != "linux":
        raise LocalError("the local run needs Linux: elsewhere nothing ends the children of a killed process")
    # PyDLL keeps the interpreter lock: between fork and exec there is nobody left to hand it back.
    prctl = ctypes.PyDLL(None, use_errno=True).prctl

    def set_signal(number: int) -> None:
        if prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")

    return set_signal
