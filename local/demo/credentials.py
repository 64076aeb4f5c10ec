"""The secret file of the demo provider, which the pool manager and the demo proxies read."""

import os
import secrets
import tomllib
from pathlib import Path

from local.demo.proxy import Credentials
from local.errors import LocalError

PROVIDER = "demo"


def ensure(directory: Path) -> Path:
    """Makes `demo.toml` with a generated password, unless it is there already, and returns its path."""
    path = directory / f"{PROVIDER}.toml"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        unfinished = path.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(os.open(unfinished, flags, 0o600), "w") as file:  # noqa: PTH123 - for its mode
            file.write(f'username = "clicktrace-demo"\npassword = "{secrets.token_urlsafe(18)}"\n')
        unfinished.rename(path)
    return path


def read(path: Path) -> Credentials:
    """Reads what `ensure` has made; LocalError if the file has been changed into something else."""
    try:
        values = tomllib.loads(path.read_text())
        return Credentials(str(values["username"]), str(values["password"]))
    except (OSError, ValueError, KeyError):
        # Not the parser's message: it may quote the line that holds the password.
        raise LocalError(f"{path} is no credentials file any more: remove it, the next run makes a new one") from None
