"""Proves that the supervisor starts, watches and ends processes, and that none outlives the one that started it."""

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from local.errors import LocalError
from local.run.readiness import HttpOk
from local.run.supervisor import Process, Supervisor
from tests.integration.local.postgres.test_server import gone

ROOT = Path(__file__).parents[4]

SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/ready" else 503)
        self.end_headers()
    def log_message(self, *arguments):
        pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("serving", os.getpid(), flush=True)
server.serve_forever()
"""

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SERVER

PARENT = """
import asyncio, os, sys
from pathlib import Path
from local.run.supervisor import Process, Supervisor
async def main():
    supervisor = Supervisor(Path.cwd(), Path(sys.argv[1]), lambda name, line: print(line, flush=True))
    {load}
    await supervisor.start(Process("sleeper", ("-m", "sleeper"), dict(os.environ)), timeout=10)
    await asyncio.sleep(600)
asyncio.run(main())
"""


class Said(list[tuple[str, str]]):
    """What processes said, line by line."""

    def add(self, name: str, line: str) -> None:
        self.append((name, line))

    def pid(self) -> int:
        return next(int(line.split()[1]) for _, line in self if line.startswith("serving "))


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture(params=["executed", "forked"])
async def supervisor(request: pytest.FixtureRequest, tmp_path: Path, said: Said) -> AsyncIterator[Supervisor]:
    """Starts interpreters, or forks off one that has loaded what the programs need; nobody is to see a difference."""
    made = Supervisor(ROOT, tmp_path, said.add)
    if request.param == "forked":
        await made.load(["http.server"], {**environment(tmp_path), "SECRET": "of the fork server"})
    yield made
    await made.stop_all(timeout=1)


def environment(directory: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(directory)}


@dataclass
class Programs:
    """Programs to run, each as a module of its own."""

    directory: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def script(self, program: str, name: str = "script", *arguments: str) -> Process:
        module = f"program_{next(self._numbers)}"
        (self.directory / f"{module}.py").write_text(program)
        return Process(name, ("-m", module, *arguments), environment(self.directory))

    def server(self, program: str = SERVER, path: str = "/ready") -> Process:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = self.script(program, "server", str(port))
        return replace(process, ready=HttpOk(f"127.0.0.1:{port}", path))


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


async def test_it_waits_until_a_process_is_ready_and_keeps_what_it_says(
    supervisor: Supervisor, programs: Programs, said: Said, tmp_path: Path
) -> None:
    await supervisor.start(programs.server(), timeout=20)
    pid = said.pid()
    assert os.getpgid(pid) != os.getpgid(0)  # the terminal's Ctrl-C does not reach it
    await supervisor.stop("server", timeout=10)
    assert gone(pid)
    assert not supervisor.died.done()
    assert (tmp_path / "server.log").read_text() == f"serving {pid}\n"


async def test_a_process_that_never_gets_ready_is_reported(
    supervisor: Supervisor, programs: Programs, tmp_path: Path
) -> None:
    with pytest.raises(LocalError, match=rf"server is not ready after 0 s: see {tmp_path}/server\.log"):
        await supervisor.start(programs.server(path="/never"), timeout=0.3)


async def test_a_process_that_ends_instead_of_getting_ready_is_reported_with_its_last_lines(
    supervisor: Supervisor,
    programs: Programs,
) -> None:
    with pytest.raises(LocalError) as fault:
        await supervisor.start(programs.server("print('first'); print('second'); raise SystemExit(3)"), timeout=20)
    lines = str(fault.value).splitlines()
    assert lines[0].startswith("server ended with code 3; its log is ")
    assert [line.strip() for line in lines[1:]] == ["first", "second"]


async def test_a_process_that_dies_is_noticed(supervisor: Supervisor, programs: Programs, said: Said) -> None:
    await supervisor.start(programs.server(), timeout=20)
    os.kill(said.pid(), signal.SIGKILL)
    async with asyncio.timeout(10):
        child = await supervisor.died
    assert "server was ended by SIGKILL" in str(supervisor.obituary(child))


async def test_one_that_does_not_listen_is_killed(supervisor: Supervisor, programs: Programs, said: Said) -> None:
    await supervisor.start(programs.server(STUBBORN), timeout=20)
    await supervisor.stop("server", timeout=0.2)
    assert gone(said.pid())
    assert not supervisor.died.done()


async def test_a_task_runs_to_its_end(supervisor: Supervisor, programs: Programs, said: Said) -> None:
    await supervisor.run(programs.script("print('done')"), timeout=20)
    assert said == [("script", "done")]
    assert not supervisor.died.done()
    with pytest.raises(LocalError, match="script ended with code 1"):
        await supervisor.run(programs.script("raise SystemExit(1)"), timeout=20)
    with pytest.raises(LocalError, match="script is not done after 0 s"):
        await supervisor.run(programs.script("import time; time.sleep(600)"), timeout=0.2)


async def test_lines_are_lines_however_they_come(supervisor: Supervisor, programs: Programs, said: Said) -> None:
    program = "import sys; w = sys.stdout.buffer.write; w(b'a' * 300000 + b'\\nb\\n'); w(b'\\xff'); w(b'c\\nlast')"
    await supervisor.run(programs.script(program), timeout=20)
    assert [line for _, line in said] == ["a" * 300_000, "b", "\ufffdc", "last"]


async def test_the_log_before_is_kept(supervisor: Supervisor, programs: Programs, tmp_path: Path) -> None:
    await supervisor.run(programs.script("print(1)", "two words"), timeout=20)
    await supervisor.run(programs.script("print(2)", "two words"), timeout=20)
    assert (tmp_path / "two-words.log").read_text() == "2\n"
    assert (tmp_path / "two-words.log.1").read_text() == "1\n"


async def test_a_program_finds_what_it_is_given(supervisor: Supervisor, programs: Programs, said: Said) -> None:
    program = """
import os, signal, sys
import __main__
print(__name__, sys.argv[1:], os.environ["GIVEN"], "SECRET" in os.environ, os.getcwd(), __main__.os is os)
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.getsignal(signal.SIGCHLD), os.read(0, 1))
print(" ".join(open("/proc/self/cmdline").read().rstrip(chr(0)).split(chr(0))))
"""
    process = programs.script(program, "script", "--one", "two words")
    given = {name: value for name, value in process.environment.items() if name != "SECRET"} | {"GIVEN": "yes"}
    os.environ["SECRET"] = "of the runner"
    try:
        await supervisor.run(replace(process, environment=given), timeout=20)
    finally:
        del os.environ["SECRET"]
    assert [line for _, line in said] == [
        f"__main__ ['--one', 'two words'] yes False {ROOT} True",
        # As Python does it: where whoever started the tests has SIGINT ignored, it stays so.
        f"{signal.getsignal(signal.SIGINT) is not signal.SIG_IGN} 0 b''",
        f"{sys.executable} {' '.join(process.arguments)}",
    ]


@pytest.mark.parametrize(
    ("program", "last"),
    [
        ("raise SystemExit('in words')", "in words"),
        ("raise ValueError('a fault')", "ValueError: a fault"),
        ("import atexit; atexit.register(print, 'at the end'); raise SystemExit(1)", "at the end"),
        ("import threading; threading.Timer(0.05, print, ['of a thread']).start(); raise SystemExit(1)", "of a thread"),
    ],
)
async def test_a_program_ends_as_it_ends_alone(
    supervisor: Supervisor, programs: Programs, said: Said, program: str, last: str
) -> None:
    with pytest.raises(LocalError, match="script ended with code 1"):
        await supervisor.run(programs.script(program), timeout=20)
    assert said[-1] == ("script", last)


def test_secrets_of_a_process_are_not_shown() -> None:
    assert "hidden" not in repr(Process("x", (), {"DATABASE_URL": "hidden"}))


@pytest.mark.parametrize("load", ["", "await supervisor.load(['json'], dict(os.environ))"], ids=["executed", "forked"])
def test_kill_9_of_the_parent_leaves_no_child(tmp_path: Path, load: str) -> None:
    (tmp_path / "sleeper.py").write_text("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    with subprocess.Popen(
        [sys.executable, "-c", PARENT.format(load=load or "pass"), str(tmp_path)],
        cwd=ROOT,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        parent.kill()
        assert gone(child)
