"""Runs a PostgreSQL of its own as a child process, for `make run` and for the tests.

    with EmbeddedPostgres(Path(".local/postgres")) as postgres:
        connection = await asyncpg.connect(postgres.url())

The server listens on 127.0.0.1 only, without Unix sockets, and wants a generated password, so other users of the
machine stay outside. It dies with the process that started it, by SIGINT, which is its fast shutdown. PostgreSQL
refuses to run as root; there it runs as `nobody`, or as the owner of data that exist already.
"""

import contextlib
import fcntl
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from local.errors import LocalError
from local.parent import follow_parent
from local.postgres import binaries, directory
from local.postgres.binaries import Account

USER = "clicktrace"
_HOST = "127.0.0.1"
_READY_TIMEOUT = 60.0  # recovery after a crash may replay a lot
_TAKEOVER_TIMEOUT = 15.0  # how long an earlier server on the same data may take to end
_POLL = 0.01
_STOP_STEPS = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
# What was committed still outlives the server's own crash, though not the machine's.
_FAST_AND_LOOSE = {"fsync": "off", "full_page_writes": "off"}
_STILL_ENDING = ("pre-existing shared memory block", "lock file")


class EmbeddedPostgres:
    """A PostgreSQL server over the data in `state_dir`, which is made if it is missing.

    `port` 0 takes a free one and keeps it over restarts of the same object. `durable=False` trades safety
    against a crash of the machine for speed, for tests. `settings` are further server settings.

    As root the directory lies below /var/tmp instead where no other user may enter `state_dir`. Every failure is a
    LocalError that says what to do.
    """

    def __init__(
        self, state_dir: Path, port: int = 0, *, durable: bool = True, settings: Mapping[str, str] | None = None
    ) -> None:
        self._account = _account_for(state_dir)
        self.directory = directory.make(state_dir.absolute(), self._account)
        self.data = self.directory / "data"
        self.log = self.directory / "postgres.log"
        self.port = port
        self._port_is_free_to_choose = port == 0
        self._settings = {
            "listen_addresses": _HOST,
            "unix_socket_directories": "",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **({} if durable else _FAST_AND_LOOSE),
            **(settings or {}),
        }
        self._password = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process id of the server; None while there is none."""
        return self._process.pid if self._process else None

    def url(self, database: str = "postgres") -> str:
        """Returns the connection URL for `database`, password included: do not log it."""
        return f"postgresql://{USER}:{self._password}@{_HOST}:{self.port}/{database}"

    def start(self) -> None:
        """Makes the cluster if there is none, and returns when the server accepts connections.

        Call it from a thread that lives as long as the server shall: the kernel ends the server with that thread.
        """
        if self._process and self._process.poll() is None:
            return
        self._lock = self._lock or self._take_lock()
        try:
            programs = binaries.make_reachable(binaries.find(self.data), self._account, self.directory / "binaries")
            self._password = self._load_password()
            if not self.data.exists():
                self._make_cluster(programs)
            self._start_server(programs)
        except OSError as error:
            self.stop()
            raise LocalError(f"PostgreSQL does not start in {self.directory}: {error}") from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends the server: fast shutdown, then immediate, then SIGKILL. No effect if it does not run."""
        process, self._process = self._process, None
        if process:
            for number, timeout in _STOP_STEPS:
                process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout)
                    break
        if self._lock:
            self._lock.close()
            self._lock = None

    def kill(self) -> None:
        """Ends the server as a crash would, with SIGKILL; the next start recovers."""
        if self._process:
            self._process.kill()
            self._process.wait()
        self.stop()

    def restart(self) -> None:
        """Stops the server and starts it again on the same data and port."""
        self.stop()
        self.start()

    def wait(self) -> int:
        """Waits until the server ends by itself and returns its exit status."""
        return self._process.wait() if self._process else 0

    def poll(self) -> int | None:
        """Returns the exit status of a server that ended by itself, None while it runs or was stopped."""
        return self._process.poll() if self._process else None

    def _take_lock(self) -> IO[bytes]:
        try:
            lock = (self.directory / directory.LOCK).open("ab")
        except OSError as error:
            raise LocalError(f"cannot write to {self.directory}: {error.strerror}") from error
        deadline = time.monotonic() + _TAKEOVER_TIMEOUT
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() > deadline:
                    lock.close()
                    raise LocalError(f"another process runs PostgreSQL in {self.directory}: stop it first") from None
                time.sleep(_POLL)
            else:
                return lock

    def _load_password(self) -> str:
        path = self.directory / "password"
        if not path.exists():
            if self.data.exists():
                raise LocalError(f"{path} is gone: remove {self.data} to start afresh")
            _write_secret(path, secrets.token_urlsafe(24))
        return path.read_text().strip()

    def _make_cluster(self, binaries: Path) -> None:
        # Under another name first: a cluster whose making was cut short is never taken for a whole one.
        unfinished = self.directory / "data.new"
        password_file = self.directory / "password.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        password_file.unlink(missing_ok=True)
        _write_secret(password_file, self._password)
        if os.geteuid() == 0:
            os.chown(unfinished, self._account.uid, self._account.gid)
            os.chown(password_file, self._account.uid, self._account.gid)
        try:
            initdb = self._spawn(
                [
                    *(str(binaries / "initdb"), "-D", str(unfinished), "-U", USER, "--no-sync"),
                    *("--encoding=UTF8", "--locale=C.UTF-8"),
                    *("-A", "scram-sha-256", f"--pwfile={password_file}"),
                ],
                signal.SIGTERM,
            )
            if initdb.wait() != 0:
                raise LocalError(f"initdb failed: {_complaint(self.log)} (all of it in {self.log})")
        finally:
            password_file.unlink(missing_ok=True)
        unfinished.rename(self.data)

    def _start_server(self, binaries: Path) -> None:
        deadline = time.monotonic() + _TAKEOVER_TIMEOUT
        self._wait_for_earlier_server(deadline)
        while True:
            if self._port_is_free_to_choose and (self.port == 0 or not _is_free(self.port)):
                self.port = _free_port()
            options = [f"--{name}={value}" for name, value in {**self._settings, "port": str(self.port)}.items()]
            log_size = self.log.stat().st_size if self.log.exists() else 0
            self._process = self._spawn([str(binaries / "postgres"), "-D", str(self.data), *options], signal.SIGINT)
            if self._becomes_ready(self._process):
                return
            self._process = None
            said = self.log.read_bytes()[log_size:].decode(errors="replace")
            port_is_taken = "could not bind" in said
            passes = any(words in said for words in _STILL_ENDING) or (port_is_taken and self._port_is_free_to_choose)
            if passes and time.monotonic() < deadline:
                time.sleep(_POLL)
                continue
            if port_is_taken:
                raise LocalError(f"port {self.port} is taken: PostgreSQL needs it, or another one (--postgres-port)")
            raise LocalError(f"PostgreSQL does not start: {_complaint(self.log)} (all of it in {self.log})")

    def _spawn(self, command: Sequence[str], death_signal: signal.Signals) -> subprocess.Popen[bytes]:
        options: dict[str, Any] = {}
        if os.geteuid() == 0:
            options = {"user": self._account.uid, "group": self._account.gid, "extra_groups": []}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                # PG* variables of the caller would change what the server does.
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
                start_new_session=True,  # the terminal's Ctrl-C is for the parent alone
                preexec_fn=follow_parent(death_signal),  # noqa: PLW1509 - calls one libc function
                **options,
            )

    def _becomes_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """Waits for the word "ready" in the server's own status file, as pg_ctl does; False if the server ends."""
        deadline = time.monotonic() + _READY_TIMEOUT
        while process.poll() is None:
            match _pid_file(self.data):
                case [pid, _, _, _, _, _, _, "ready"] if pid == str(process.pid):
                    return True
            if time.monotonic() > deadline:
                process.kill()
                raise LocalError(f"PostgreSQL is not ready after {_READY_TIMEOUT:.0f} s: see {self.log}")
            time.sleep(_POLL)
        return False

    def _wait_for_earlier_server(self, deadline: float) -> None:
        """Waits for a server on the same data that outlived its parent for a moment; clears away a stale pid file."""
        while lines := _pid_file(self.data):
            if not _is_server(lines[0], self.data):
                # The number may belong to some other process by now, which PostgreSQL itself would take for a server.
                (self.data / "postmaster.pid").unlink(missing_ok=True)
                return
            if time.monotonic() > deadline:
                raise LocalError(f"PostgreSQL (process {lines[0]}) still runs on {self.data}: kill -INT {lines[0]}")
            time.sleep(_POLL)


@contextlib.contextmanager
def temporary_postgres(*, settings: Mapping[str, str] | None = None) -> Iterator[EmbeddedPostgres]:
    """Runs a throw-away PostgreSQL, fast rather than safe, in a temporary directory that goes with it."""
    with (
        tempfile.TemporaryDirectory(prefix="clicktrace-postgres-", ignore_cleanup_errors=True) as directory,
        EmbeddedPostgres(Path(directory), durable=False, settings=settings) as postgres,
    ):
        yield postgres


def _account_for(state_dir: Path) -> Account:
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    data = state_dir / "data"
    if data.exists() and data.stat().st_uid != 0:
        owner = data.stat()
        return Account(owner.st_uid, owner.st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return Account(65534, 65534)
    return Account(nobody.pw_uid, nobody.pw_gid)


def _pid_file(data: Path) -> list[str]:
    """Returns the lines of postmaster.pid, stripped; none if there is no such file."""
    try:
        return [line.strip() for line in (data / "postmaster.pid").read_text().splitlines()]
    except FileNotFoundError:
        return []


def _is_server(pid: str, data: Path) -> bool:
    process = Path("/proc", pid)
    try:
        program = Path(os.fsdecode((process / "cmdline").read_bytes().split(b"\0")[0]))
        return program.name in {"postgres", "postmaster"} and (process / "cwd").samefile(data)
    except PermissionError:
        return True  # a PostgreSQL of somebody else's: rather too careful than two servers on one cluster
    except OSError:
        return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def _write_secret(path: Path, secret: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123 - for its mode
        file.write(secret)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _complaint(log: Path) -> str:
    """Returns the last line of a server log that names an error, else its last line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()] or [
        "no reason given"
    ]
    return next((line for line in reversed(lines) if re.search("FATAL|PANIC|error|could not", line)), lines[-1])
