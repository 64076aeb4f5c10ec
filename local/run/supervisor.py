"""Owns the processes of a run: starts them, reads what they say, notices when one dies, and ends them in time."""

import asyncio
import contextlib
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local.errors import LocalError
from local.parent import follow_parent
from local.run.forks import Forked, ForkServer
from local.run.logview import render
from local.run.readiness import Probe

_FORK_SERVER = "fork server"
_TAIL = 12
_CHUNK = 64 * 1024
_LONGEST_LINE = 1024 * 1024


@dataclass(frozen=True)
class Process:
    """A process to run: `python` with these arguments."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    """All of it; it holds secrets."""
    ready: Probe | None = None
    """How it is known to be ready; None for one that is to run to its end."""


class Child:
    """A running process, and the last lines it said."""

    def __init__(self, name: str, process: asyncio.subprocess.Process | Forked) -> None:
        self.name = name
        self.process = process
        self.tail: deque[str] = deque(maxlen=_TAIL)
        self.expected_to_end = False
        self.watch: asyncio.Task[int]
        """Ends with the exit code, when the last line is read."""


class Supervisor:
    """Runs processes; every line they say goes to `log_directory` as it is, and to `on_line` with their name."""

    def __init__(self, working_directory: Path, log_directory: Path, on_line: Callable[[str, str], None]) -> None:
        self._working_directory = working_directory
        self._log_directory = log_directory
        self._on_line = on_line
        self._children: dict[str, Child] = {}
        self._forks: ForkServer | None = None
        self.died: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        """Is done when a process ends that was not told to."""

    async def load(self, modules: Sequence[str], environment: Mapping[str, str]) -> None:
        """Starts a process that loads `modules`; what runs a module (`-m NAME …`) from now on is forked off it."""
        forks = ForkServer(modules)
        await self._spawn(Process(_FORK_SERVER, forks.arguments, environment), pass_fds=(forks.descriptor,))
        forks.started()
        self._forks = forks

    async def start(self, process: Process, *, timeout: float) -> None:
        """Starts a process and returns when it is ready; LocalError if it is not within `timeout` seconds."""
        child = await self._spawn(process)
        if process.ready is None:
            return
        probe = asyncio.create_task(process.ready.wait(), name=f"wait for {process.name}")
        try:
            await asyncio.wait({probe, child.watch}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if child.watch.done():
                raise self.obituary(child)
            if not probe.done():
                raise LocalError(
                    f"{process.name} is not ready after {timeout:.0f} s: see {self._log_path(process.name)}"
                )
            probe.result()
        finally:
            await _cancel(probe)

    async def run(self, process: Process, *, timeout: float) -> None:
        """Runs a process to its end; LocalError if it fails, or takes longer than `timeout` seconds."""
        child = await self._spawn(process, expected_to_end=True)
        try:
            async with asyncio.timeout(timeout):
                code = await asyncio.shield(child.watch)
        except TimeoutError:
            raise LocalError(
                f"{process.name} is not done after {timeout:.0f} s: see {self._log_path(process.name)}"
            ) from None
        if code != 0:
            raise self.obituary(child)
        del self._children[process.name]

    async def stop(self, *names: str, timeout: float) -> None:
        """Ends processes together: SIGTERM, and after `timeout` seconds SIGKILL. Unknown names are ignored."""
        await asyncio.gather(*(self._end(self._children[name], timeout) for name in names if name in self._children))

    async def stop_all(self, *, timeout: float) -> None:
        """Ends whatever is left; SIGKILL follows SIGTERM after `timeout` seconds."""
        await self.stop(*(self._children.keys() - {_FORK_SERVER}), timeout=timeout)
        await self.stop(_FORK_SERVER, timeout=timeout)
        if self._forks:
            await self._forks.close()

    def obituary(self, child: Child) -> LocalError:
        """Returns what there is to say of a process that ended: how, its last lines, and where the others are."""
        code = child.process.returncode
        how = (
            f"was ended by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with code {code}"
        )
        last = "".join(f"\n      {render(child.name, line) if line.startswith('{') else line}" for line in child.tail)
        return LocalError(
            f"{child.name} {how}; its log is {self._log_path(child.name)}{', which ends:' if last else ''}{last}"
        )

    async def _spawn(self, process: Process, *, expected_to_end: bool = False, pass_fds: Sequence[int] = ()) -> Child:
        log_path = self._log_path(process.name)
        if log_path.exists():
            log_path.replace(log_path.with_suffix(".log.1"))
        if self._forks and process.arguments[0] == "-m":
            _, module, *arguments = process.arguments
            forked = await self._forks.spawn(
                module, arguments, environment=process.environment, directory=self._working_directory
            )
            child = Child(process.name, forked)
        else:
            child = Child(process.name, await self._execute(process, pass_fds))
        child.expected_to_end = expected_to_end
        child.watch = asyncio.create_task(self._watch(child, log_path), name=f"watch {process.name}")
        self._children[process.name] = child
        return child

    async def _execute(self, process: Process, pass_fds: Sequence[int]) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *process.arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self._working_directory,
            env=dict(process.environment),
            start_new_session=True,  # the terminal's Ctrl-C is for us alone; we end the others in order
            preexec_fn=follow_parent(signal.SIGKILL),
            pass_fds=pass_fds,
        )

    async def _watch(self, child: Child, log_path: Path) -> int:
        assert child.process.stdout
        with log_path.open("ab", buffering=0) as log:
            rest = b""
            while data := await child.process.stdout.read(_CHUNK):
                log.write(data)
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._said(child, line)
                rest = rest[-_LONGEST_LINE:]
            if rest:
                self._said(child, rest)
        code = await child.process.wait()
        if not child.expected_to_end and not self.died.done():
            self.died.set_result(child)
        return code

    def _said(self, child: Child, raw: bytes) -> None:
        line = raw.decode(errors="replace").rstrip()
        child.tail.append(line)
        self._on_line(child.name, line)

    async def _end(self, child: Child, timeout: float) -> None:
        child.expected_to_end = True
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                child.process.send_signal(number)
            done, _ = await asyncio.wait({child.watch}, timeout=timeout)
            if done:
                break
        self._children.pop(child.name, None)

    def _log_path(self, name: str) -> Path:
        return self._log_directory / f"{name.replace(' ', '-')}.log"


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
