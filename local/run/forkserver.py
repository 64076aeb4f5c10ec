"""The fork server of a run: `python -m local.run.forkserver FD MODULE...` loads modules once and forks programs off.

The services load the same libraries, and an interpreter that has loaded them is a second of CPU time; a fork of one is
a hundredth. It stays a single thread and opens no channel, loop or connection, so that nothing is lost in a fork.

FD is one end of a SOCK_SEQPACKET pair; the other end is `local.run.forks.ForkServer`. Each packet is a JSON object:

- to the server: `{"id", "title", "module", "arguments", "environment", "directory"}` together with the descriptor that
  standard output and error go to, or `{"pid", "signal"}`;
- from the server: `{"id", "pid"}` once it is forked, and `{"pid", "code"}` once it has ended, `-N` after signal N.

A child is killed by the kernel when the fork server ends, and the fork server when the runner does.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

from setproctitle import setproctitle

from local.parent import follow_parent

LARGEST_PACKET = 1 << 20


def main(arguments: Sequence[str]) -> None:
    """Serves until the other end is closed; returns in each child, once that has become its program's process."""
    control = socket.socket(fileno=int(arguments[0]))
    # Collections while modules load find nothing, and take a tenth of the time.
    gc.disable()
    for name in arguments[1:]:
        importlib.import_module(name)
    # What is loaded now is never collected, so that no collection in a child copies its pages.
    gc.freeze()
    request = _Server(control).serve()
    if request is not None:
        gc.enable()
        _run(request)


class _Server:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._alive: set[int] = set()
        self._wakeup, wake = socket.socketpair()
        self._wakeup.setblocking(False)
        wake.setblocking(False)
        self._wake = wake
        signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler of Python's there is no wakeup
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)

    def serve(self) -> dict[str, Any] | None:
        """Returns None when the other end is closed, and in a child the request that it is to become."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._wakeup, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._wakeup in ready:
                    with contextlib.suppress(BlockingIOError):
                        self._wakeup.recv(4096)
                    self._reap()
                if self._control not in ready:
                    continue
                packet, descriptors, *_ = socket.recv_fds(self._control, LARGEST_PACKET, 1)
                if not packet:
                    return None
                request = json.loads(packet)
                if "signal" in request:
                    if request["pid"] in self._alive:
                        os.kill(request["pid"], request["signal"])
                elif self._fork(request, descriptors[0]):
                    return dict(request)

    def _fork(self, request: dict[str, Any], output: int) -> bool:
        """Returns True in the child."""
        follow = follow_parent(signal.SIGKILL)
        pid = os.fork()
        if pid:
            os.close(output)
            self._alive.add(pid)
            self._tell({"id": request["id"], "pid": pid})
            return False
        follow()
        os.setsid()  # the terminal's Ctrl-C is for the runner alone, which ends its children in order
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for descriptor in (self._control, self._wakeup, self._wake):
            descriptor.close()
        os.dup2(output, sys.stdout.fileno())
        os.dup2(output, sys.stderr.fileno())
        os.close(output)
        return True

    def _reap(self) -> None:
        while self._alive:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            self._alive.discard(pid)
            self._tell({"pid": pid, "code": os.waitstatus_to_exitcode(status)})

    def _tell(self, message: dict[str, Any]) -> None:
        # The runner is gone when this fails, and with it whoever would want to know.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._control.send(json.dumps(message).encode())


def _run(request: dict[str, Any]) -> None:
    """Becomes the process of a program, as `python -m MODULE` with that environment and directory would be."""
    setproctitle(request["title"])
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    sys.argv = [request["module"], *request["arguments"]]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
