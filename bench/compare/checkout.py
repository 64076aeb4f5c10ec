"""A revision in a checkout and an environment of its own below `.build/`, kept for the next comparison."""

import fcntl
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.compare import CompareError

_RELEASE = re.compile(r"v?(\d+\.\d+\.\d+)")
_BASELINES = Path(".build", "baseline")
_LINES_TOLD = 8
# What would lead a program of one checkout to the code, the packages or the Makefile variables of another.
_LEADING_ASTRAY = {
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "PYTHONDONTWRITEBYTECODE",
    "MAKEFLAGS",
    "MFLAGS",
    "MAKELEVEL",
}


@dataclass(frozen=True)
class Revision:
    """A commit, and what the user called it."""

    name: str
    commit: str


def environment() -> Mapping[str, str]:
    """Returns the variables that a program of any checkout may see."""
    return {
        name: value for name, value in os.environ.items() if name not in _LEADING_ASTRAY and not name.startswith("GIT_")
    }


def find(root: Path, name: str) -> Revision:
    """Finds a commit by any name that git knows, or a release by its number; CompareError if there is none."""
    if not name.startswith("-"):
        found = _git(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", check=False)
        if found:
            return Revision(name, found)
    if release := _RELEASE.fullmatch(name):
        # A clone may have come without tags.
        subject = f"Release {release[1]}"
        for line in _git(root, "log", "--all", "--format=%H %s", "--fixed-strings", f"--grep={subject}").splitlines():
            commit, _, found = line.partition(" ")
            if found == subject:
                return Revision(name, commit)
        raise CompareError(f"there is no tag {name} and no commit {subject!r}: git fetch --tags, or name a commit")
    raise CompareError(
        f"{name!r} is no revision of this repository: name a tag, a branch, a commit or a release (v1.2.3)"
    )


def describe(root: Path) -> str:
    """Returns the short commit that is checked out, and whether files differ from it."""
    commit = _git(root, "rev-parse", "--short", "HEAD")
    return f"{commit} with uncommitted changes" if _git(root, "status", "--porcelain") else commit


def prepare(root: Path, revision: Revision, say: Callable[[str], None]) -> Path:
    """Checks a revision out and installs what it pins; returns the directory.

    CompareError if the checkout was changed, or cannot be made, or its environment cannot be built.
    """
    directory = root / _BASELINES / revision.commit[:7]
    with _alone(root / _BASELINES):
        if not directory.exists():
            say(f"checking {revision.name} out into {directory.relative_to(root)}")
            # Forced: git may remember a checkout here that `make clean` has removed.
            _git(root, "worktree", "add", "--force", "--detach", str(directory), revision.commit)
        _must_be_untouched(root, directory, revision)
        say(f"bringing the environment of {revision.name} up to date")
        _install(directory, revision, say)
    return directory


def _must_be_untouched(root: Path, directory: Path, revision: Revision) -> None:
    anew = f"git worktree remove --force {directory.relative_to(root)}"
    top = _git(directory, "rev-parse", "--show-toplevel", check=False)
    if not top or Path(top).resolve() != directory.resolve():
        raise CompareError(f"{directory} is no checkout: remove it")
    if _git(directory, "rev-parse", "HEAD") != revision.commit:
        raise CompareError(f"another commit than {revision.name} is checked out in {directory}: {anew}")
    if changed := _git(directory, "status", "--porcelain"):
        files = ", ".join(line.split(maxsplit=1)[1] for line in changed.splitlines()[:_LINES_TOLD])
        raise CompareError(f"the checkout of {revision.name} has been changed ({files}): {anew}")


def _install(directory: Path, revision: Revision, say: Callable[[str], None]) -> None:
    """Has the revision's own Makefile install, with the Python that runs this."""
    command = ["make", "--no-print-directory", "bootstrap-bench", f"PYTHON={Path(sys.executable).resolve()}"]
    last: deque[str] = deque(maxlen=_LINES_TOLD)
    with subprocess.Popen(
        command, cwd=directory, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        if process.stdout is None:
            raise AssertionError("stdout is a pipe")
        for line in process.stdout:
            say(line.rstrip())
            last.append(line.rstrip())
    if process.returncode:
        told = "\n".join(last)
        raise CompareError(
            f"the environment of {revision.name} cannot be built: `make bootstrap-bench` failed in {directory}\n{told}"
        )


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keeps a second comparison out while a checkout is being prepared."""
    directory.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _git(directory: Path, *arguments: str, check: bool = True) -> str:
    """Returns what git says; CompareError if it fails and that is no answer."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=directory, env=environment(), capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise CompareError("git is needed to check a baseline out: install it") from None
    if done.returncode and check:
        raise CompareError(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip() if done.returncode == 0 else ""
