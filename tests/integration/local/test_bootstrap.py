"""Proves that the bootstrap installs what is pinned, once, repairs what was cut short, and says what is wrong."""

import hashlib
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

# One environment is made for all of them.
pytestmark = pytest.mark.xdist_group("bootstrap")

SCRIPT = Path(__file__).parents[3] / "local" / "bootstrap.py"


@dataclass
class Place:
    """A directory with wheels, a requirements file that pins them, and a virtual environment to be."""

    directory: Path

    @property
    def venv(self) -> Path:
        return self.directory / "venv"

    @property
    def requirements(self) -> Path:
        return self.directory / "requirements.txt"

    def offer(self, version: str, *, honest: bool = True) -> None:
        """Makes a wheel of the package `tiny`, and pins it."""
        wheel = self.directory / f"tiny-{version}-py3-none-any.whl"
        info = f"tiny-{version}.dist-info"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("tiny.py", f"version = {version!r}\n")
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", f"tiny.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
        digest = hashlib.sha256(wheel.read_bytes() if honest else b"").hexdigest()
        self.requirements.write_text(f"tiny=={version} \\\n    --hash=sha256:{digest}\n")

    def command(self) -> Sequence[str]:
        return [sys.executable, str(SCRIPT), "--venv", str(self.venv), str(self.requirements)]

    def environment(self, **others: str) -> dict[str, str]:
        return {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.directory), **others}

    def bootstrap(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(),
            check=False,
            capture_output=True,
            text=True,
            timeout=100,
            env=self.environment(**environment),
        )

    def installed(self) -> str:
        """Asks the environment itself for the version it has."""
        question = [str(self.venv / "bin" / "python"), "-c", "import tiny; print(tiny.version)"]
        return subprocess.run(question, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("bootstrap"))
    place.offer("1.0")
    done = place.bootstrap()
    assert done.returncode == 0, done.stderr
    assert "[ 1/1 ] installing tiny" in done.stdout
    assert "installed in" in done.stdout
    return place


def test_a_second_run_does_nothing_and_says_nothing(made: Place) -> None:
    log = (made.venv / "pip.log").stat().st_mtime_ns
    began = time.monotonic()
    done = made.bootstrap()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (made.venv / "pip.log").stat().st_mtime_ns == log
    assert time.monotonic() - began < 5


def test_a_new_pin_is_installed_over_the_old_one(made: Place) -> None:
    made.offer("2.0")
    assert made.bootstrap().returncode == 0
    assert made.installed() == "2.0"


def test_what_was_cut_short_is_made_again(made: Place) -> None:
    made.offer("3.0")
    process = subprocess.Popen(made.command(), stdout=subprocess.DEVNULL, env=made.environment())
    while not (made.venv / "clicktrace-unfinished").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    half_written = made.venv / "bin" / "half-written"
    half_written.touch()
    done = made.bootstrap()
    assert done.returncode == 0, done.stderr
    assert made.installed() == "3.0"
    assert not half_written.exists()
    assert not (made.venv / "clicktrace-unfinished").exists()


def test_a_package_that_is_not_the_pinned_one_is_refused(made: Place) -> None:
    made.offer("4.0", honest=False)
    done = made.bootstrap()
    assert done.returncode == 1
    assert "its hash differs" in done.stderr
    assert str(made.venv / "pip.log") in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_network_it_says_so(made: Place) -> None:
    made.requirements.write_text(f"absent==1.0 --hash=sha256:{'0' * 64}\n")
    nowhere = {"PIP_NO_INDEX": "", "PIP_FIND_LINKS": "", "PIP_INDEX_URL": "http://127.0.0.1:1/", "PIP_RETRIES": "1"}
    done = made.bootstrap(**nowhere)
    assert done.returncode == 1
    assert "is there a network" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_python_without_ensurepip_is_told_what_to_install(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.offer("1.0")
    hide = (
        "import importlib.util as u, runpy, sys\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'ensurepip' else find(name, *rest)\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", hide, *place.command()[1:]], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "apt install python3" in line


def test_a_directory_that_cannot_be_written_is_named() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--venv", "/proc/venv"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "/proc" in line
