"""Makes `.venv` and installs the pinned requirements into it: `python3 local/bootstrap.py [--dev]`.

Runs before anything is installed, so it needs the standard library only; and it must parse on any Python 3.6 or newer,
so that an old one gets a sentence instead of a syntax error. A second run finds its stamp and does nothing.
"""

import argparse
import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from types import TracebackType
from typing import IO, Dict, Iterator, Optional, Sequence, Type

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NEEDED = (3, 11)
NEWER_NAMES = ("python3.13", "python3.12", "python3.11")
REQUIREMENTS = ("requirements.txt", "requirements-local.txt")
DEV_REQUIREMENTS = ("requirements-dev.txt",)
# What pip says when it turns to a package: "Collecting name==1 (from ...)", "Processing ./path/name-1-py3-any.whl".
STARTED = re.compile(
    r"(?:Collecting |Requirement already satisfied: |Processing (?:\S*/)?)"
    r"([A-Za-z0-9._]+(?:-[A-Za-z._][A-Za-z0-9._]*)*)"
)
PIN = re.compile(r"(?m)^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])? ?==")
NO_NETWORK = (
    "NewConnectionError",
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "Name or service not known",
    "Network is unreachable",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "Max retries exceeded",
    "ProxyError",
)


class BootstrapError(Exception):
    """Something stops the installation; the message says what, and what to do about it."""


def main(arguments: Sequence[str]) -> int:
    """Brings .venv up to date and returns the exit code."""
    parser = argparse.ArgumentParser(description="Makes .venv and installs the pinned requirements into it.")
    parser.add_argument("--dev", action="store_true", help="also what tests and checks need")
    parser.add_argument("--venv", default=os.path.join(ROOT, ".venv"), help="where (default: .venv)")
    parser.add_argument("files", nargs="*", help="requirements files (default: {})".format(" ".join(REQUIREMENTS)))
    options = parser.parse_args(arguments)
    try:
        if sys.version_info < NEEDED:
            run_with_newer_python(arguments)
        chosen = tuple(options.files) or REQUIREMENTS
        names = chosen + (DEV_REQUIREMENTS if options.dev else ())
        files = [name if os.path.isabs(name) else os.path.join(ROOT, name) for name in names]
        Environment(os.path.abspath(options.venv)).bring_up_to_date(files)
    except BootstrapError as error:
        print("  {}".format(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\n  interrupted; the next run repairs what is half done", file=sys.stderr)
        return 130
    return 0


def run_with_newer_python(arguments: Sequence[str]) -> None:
    """Hands over to a newer Python if one is on the PATH under its own name; BootstrapError if not."""
    for name in NEWER_NAMES:
        path = shutil.which(name)
        if path:
            os.execv(path, [path, os.path.abspath(__file__), *arguments])  # noqa: S606 - the same program again
    raise BootstrapError(
        "Python {}.{} or newer is needed, this is {}.{} ({}): install one, or name it (make PYTHON=python3.11)".format(
            NEEDED[0], NEEDED[1], sys.version_info[0], sys.version_info[1], sys.executable
        )
    )


class Environment:
    """A virtual environment, what was installed into it, and whether that was ever finished."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.python = os.path.join(directory, "bin", "python")
        self.stamp = os.path.join(directory, "clicktrace-stamp.json")
        # Lies there while something is being installed: what is found beside it may be half written.
        self.unfinished = os.path.join(directory, "clicktrace-unfinished")
        self.log = os.path.join(directory, "pip.log")

    def bring_up_to_date(self, files: Sequence[str]) -> None:
        """Installs what the files list, unless that was done already."""
        wanted = {os.path.basename(path): digest(path) for path in files}
        if self.has(wanted):
            return
        with self.alone():
            if self.has(wanted):  # by the run that was waited for
                return
            began = time.time()
            self.make()
            self.install(files)
            self.write_stamp(wanted)
            say("installed in {:.0f} s".format(time.time() - began))

    def has(self, wanted: Dict[str, str]) -> bool:
        """Returns whether these files were installed, by a Python that still works, into this very place."""
        try:
            with open(self.stamp) as file:
                stamp = json.load(file)
        except (OSError, ValueError):
            return False
        return (
            not os.path.exists(self.unfinished)
            and stamp.get("directory") == self.directory
            and stamp.get("python") == sys.version
            and os.path.exists(self.python)
            and all(stamp.get("files", {}).get(name) == value for name, value in wanted.items())
        )

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps a second run out until the first is done."""
        import fcntl

        parent = os.path.dirname(self.directory)
        if not os.access(parent, os.W_OK | os.X_OK):
            raise BootstrapError("cannot write to {}: make it yours, or work in a copy that is".format(parent))
        lock = os.open(parent, os.O_RDONLY)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                say("another run installs at this moment, waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def make(self) -> None:
        """Makes the environment; a half-made or broken one is made anew, a whole one is kept."""
        if not os.path.exists(self.unfinished) and self.is_whole():
            return
        if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
            raise BootstrapError(
                "this Python cannot make virtual environments: install python3-venv (Debian, Ubuntu: apt install"
                " python{}.{}-venv)".format(sys.version_info[0], sys.version_info[1])
            )
        say("making {}".format(os.path.relpath(self.directory)))
        done = subprocess.run(
            [sys.executable, "-m", "venv", "--clear", self.directory],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            raise BootstrapError(
                "cannot make {}: {}".format(self.directory, last_lines(done.stdout.decode(errors="replace"), 3))
            )

    def is_whole(self) -> bool:
        """Returns whether there is a Python with pip in it, of this version, and in the place it was made for."""
        if not os.path.exists(self.python):
            return False
        moved = self.stamped_directory() not in (None, self.directory)
        question = "import sys, pip; print(sys.version_info[:2] == {!r})".format(tuple(sys.version_info[:2]))
        done = subprocess.run(
            [self.python, "-c", question],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )
        return not moved and done.stdout.strip() == b"True"

    def stamped_directory(self) -> Optional[str]:
        """Returns where the environment was when it was installed; None if nobody wrote that down."""
        try:
            with open(self.stamp) as file:
                directory = json.load(file).get("directory")
        except (OSError, ValueError):
            return None
        return str(directory)

    def install(self, files: Sequence[str]) -> None:
        """Has pip install the files, hashes checked, from wherever this machine's pip gets its packages."""
        command = [self.python, "-m", "pip", "install", "--require-hashes", "--no-deps", "--prefer-binary"]
        command += ["--disable-pip-version-check", "--no-input", "--progress-bar=off", "--no-color"]
        for path in files:
            command += ["-r", path]
        with self.writable(self.unfinished), self.writable(self.log) as log:
            pip = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                universal_newlines=True,
                env=dict(os.environ, PYTHONUNBUFFERED="1"),
            )
            assert pip.stdout
            try:
                with Progress(count_pins(files)) as progress:
                    for line in pip.stdout:
                        log.write(line)
                        progress.heard(line)
                code = pip.wait()
            finally:
                if pip.poll() is None:
                    pip.terminate()
                    pip.wait()
                pip.stdout.close()
        if code != 0:
            with open(self.log) as file:
                output = file.read()
            if code > 0 and "Installing collected packages" not in output:
                os.unlink(self.unfinished)  # it gave up before it wrote anything
            raise BootstrapError(explain(output, self.log))
        os.unlink(self.unfinished)

    @staticmethod
    def writable(path: str) -> IO[str]:
        """Opens a file to be written anew; BootstrapError if that fails."""
        try:
            return open(path, "w")
        except OSError as error:
            raise BootstrapError("cannot write {}: {}".format(path, error.strerror)) from None

    def write_stamp(self, wanted: Dict[str, str]) -> None:
        """Writes down what is installed, together with what was before."""
        files = {}  # type: Dict[str, str]
        if self.stamped_directory() == self.directory:
            with open(self.stamp) as file:
                files = json.load(file).get("files", {})
        files.update(wanted)
        with open(self.stamp + ".new", "w") as file:
            json.dump({"directory": self.directory, "python": sys.version, "files": files}, file, indent=2)
        os.rename(self.stamp + ".new", self.stamp)


class Progress:
    """Says how far pip is: on a terminal in one line that changes, elsewhere in one line for each step."""

    def __init__(self, total: int, stream: Optional[IO[str]] = None) -> None:
        self.stream = stream or sys.stdout
        self.live = self.stream.isatty()
        self.total = total
        self.seen = 0

    def __enter__(self) -> "Progress":  # noqa: PYI034 - Self is of Python 3.11
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if self.live:
            self.stream.write("\r\x1b[K")
            self.stream.flush()

    def heard(self, line: str) -> None:
        """Takes one line of pip's output."""
        fetched = STARTED.match(line)
        if fetched:
            self.seen = min(self.seen + 1, self.total)
            self.show("installing {} ...".format(fetched.group(1)))
        elif line.startswith("Installing collected packages:"):
            self.show("writing {} packages ...".format(line.count(",") + 1))

    def show(self, text: str) -> None:
        """Shows one step."""
        width = len(str(self.total))
        step = "  [ {:>{width}}/{} ] {}".format(self.seen, self.total, text, width=width)
        if self.live:
            step = "\r\x1b[K" + step[: shutil.get_terminal_size().columns - 1]
        self.stream.write(step if self.live else step + "\n")
        self.stream.flush()


def say(text: str) -> None:
    """Tells the user something in passing."""
    print("  {}".format(text), flush=True)


def digest(path: str) -> str:
    """Returns the sha256 of a file, in hexadecimal digits."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError as error:
        raise BootstrapError("cannot read {}: {}".format(path, error.strerror)) from None


def count_pins(files: Sequence[str]) -> int:
    """Counts the packages that the files pin, each once."""
    texts = []
    for path in files:
        with open(path) as file:
            texts.append(file.read())
    names = {name for text in texts for name in PIN.findall(text)}
    return len(names)


def explain(output: str, log: str) -> str:
    """Turns the end of pip's output into a reason, and says where the whole of it is."""
    if any(sign in output for sign in NO_NETWORK):
        reason = "pip cannot reach its package index: is there a network, and are pip's settings right?"
    elif "No space left on device" in output:
        reason = "there is no space left on the disk"
    elif "Permission denied" in output:
        reason = "pip may not write where it has to"
    elif "THESE PACKAGES DO NOT MATCH THE HASHES" in output:
        reason = "a package is not the one that was pinned (its hash differs)"
    elif "No matching distribution found" in output:
        reason = "a pinned package is not available for this Python ({}.{})".format(*sys.version_info[:2])
    else:
        reason = "pip failed"
    return "{}\n{}\n  The whole output is in {}".format(reason, last_lines(output, 6), log)


def last_lines(output: str, count: int) -> str:
    """Returns the last lines that say something, indented."""
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    return "\n".join("    " + line for line in lines[-count:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
