"""Finds a directory that the user who runs PostgreSQL can reach.

As root the server runs as somebody else, who may not enter the project (below /root, say). Then a stand-in below
/var/tmp takes the place of the state directory. It goes when what it stands in for has gone.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
from pathlib import Path

from local.errors import LocalError
from local.postgres.binaries import Account, can_enter

LOCK = "lock"
"""The file below the directory that is held while a server runs."""
_SHARED = Path("/var/tmp")  # noqa: S108 - what is found there is checked before it is used
_PREFIX = "clicktrace-"
_ORIGIN = "stands-in-for"


def make(state_dir: Path, account: Account) -> Path:
    """Makes `state_dir`, or a stand-in if `account` cannot get there, and returns it; LocalError if that fails."""
    try:
        if account.uid == os.geteuid():
            state_dir.mkdir(parents=True, exist_ok=True)
            state_dir.chmod(0o700)
            return state_dir
        _sweep()  # before a state directory that was removed is made again: its data are to be gone too
        state_dir.mkdir(parents=True, exist_ok=True)
        state_dir.chmod(0o755)  # the server's user has to pass through
        return state_dir if can_enter(state_dir, account) else _stand_in(state_dir)
    except OSError as error:
        raise LocalError(f"cannot write to {state_dir}: {error.strerror}") from error


def _stand_in(state_dir: Path) -> Path:
    directory = _SHARED / f"{_PREFIX}{hashlib.sha256(os.fsencode(state_dir)).hexdigest()[:12]}"
    directory.mkdir(mode=0o755, exist_ok=True)
    if not _is_ours(directory):
        raise LocalError(f"{directory} belongs to someone else: remove it, or choose another --state-dir")
    directory.chmod(0o755)
    (directory / _ORIGIN).write_text(f"{state_dir}\n")
    return directory


def _is_ours(directory: Path) -> bool:
    # Anyone may write to /var/tmp, so what has the name already may be a trap.
    status = directory.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _sweep() -> None:
    """Removes stand-ins of ours whose state directory is gone and that nobody uses."""
    for directory in _SHARED.glob(f"{_PREFIX}*"):
        # What cannot be looked at, or goes at this moment, is left to the next sweep.
        with contextlib.suppress(OSError):
            if not _is_ours(directory) or Path((directory / _ORIGIN).read_text().rstrip("\n")).exists():
                continue
            with (directory / LOCK).open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(directory)
