"""Credentials of proxy providers, from one secret file per provider.

`PROVIDER.toml` holds `username`, `password` and, if wanted, `username_template`, in which `{username}`, `{ip_address}`
and `{country}` are replaced. Nothing of it is ever logged, traced or stored.
"""

import re
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from libs.common.process import logs
from services.pool_manager.model.proxies import Proxy

log = logs.get(__name__)

# How often a file is looked at; a rotated secret takes effect within this many seconds.
_LOOK_SECONDS = 1.0

_PROVIDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PLACE = re.compile(r"\{(\w*)\}")
_PLACES = frozenset({"username", "ip_address", "country"})
_KEYS = frozenset({"username", "password", "username_template"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def is_provider(name: str) -> bool:
    """Tells whether this can name a provider, and so a file; it leads nowhere but into the directory."""
    return _PROVIDER.fullmatch(name) is not None


class BrokenSecretError(Exception):
    """The secret file of a provider cannot be used."""


@dataclass(frozen=True, slots=True)
class Secret:
    """What one file says."""

    username: str
    password: str
    template: str

    def __repr__(self) -> str:
        return "Secret(...)"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a file; raises BrokenSecretError with what is wrong, and nothing of what is in it."""
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            raise BrokenSecretError("is no TOML") from None
        if unknown := values.keys() - _KEYS:
            raise BrokenSecretError(f"has {len(unknown)} unknown keys; there are {', '.join(sorted(_KEYS))}")
        if not all(isinstance(value, str) for value in values.values()):
            raise BrokenSecretError("holds a value that is no string")
        username, password = values.get("username", ""), values.get("password", "")
        template = values.get("username_template", "{username}")
        if not username:
            raise BrokenSecretError("has no username")
        if any(_CONTROL.search(value) for value in (username, password, template)):
            raise BrokenSecretError("holds a control character, such as a line break")
        if unknown := set(_PLACE.findall(template)) - _PLACES:
            raise BrokenSecretError(f"has {len(unknown)} unknown places in its username_template")
        return cls(username, password, template)

    def for_proxy(self, proxy: Proxy) -> tuple[str, str]:
        """Returns user name and password for one proxy."""
        values = {"username": self.username, "ip_address": proxy.ip_address, "country": proxy.country}
        return _PLACE.sub(lambda place: values[place[1]], self.template), self.password


@dataclass(slots=True)
class _Entry:
    looked: float
    stamp: tuple[int, int, int] | None
    secret: Secret | None


class Credentials:
    """The secrets of all providers; a file is read again when it changes.

    A missing file means a proxy without credentials. While a file is broken the last good content holds.
    """

    def __init__(self, directory: Path | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Reads nothing yet; without a directory there are no credentials."""
        self._directory = directory
        self._clock = clock
        self._entries: dict[str, _Entry] = {}

    def for_proxy(self, proxy: Proxy) -> tuple[str, str]:
        """Returns user name and password for a proxy; both empty if it wants none."""
        if self._directory is None:
            return "", ""
        entry = self._entries.get(proxy.provider)
        now = self._clock()
        if entry is None or now - entry.looked >= _LOOK_SECONDS:
            entry = self._look(self._directory, proxy.provider, entry, now)
        return ("", "") if entry.secret is None else entry.secret.for_proxy(proxy)

    def _look(self, directory: Path, provider: str, before: _Entry | None, now: float) -> _Entry:
        entry = before or _Entry(now, None, None)
        entry.looked = now
        self._entries[provider] = entry
        if not is_provider(provider):
            return entry
        path = directory / f"{provider}.toml"
        try:
            status = path.stat()
            # The inode too: a mounted secret is swapped by renaming, possibly within one tick of the clock.
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == entry.stamp:
                return entry
            entry.stamp = stamp
            entry.secret = Secret.parse(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            entry.stamp, entry.secret = None, None
        except (BrokenSecretError, OSError, UnicodeDecodeError) as error:
            # Of an OSError only the kind: its text would hold the path alone, of a decode error the content.
            why = str(error) if isinstance(error, BrokenSecretError) else type(error).__name__
            # No traceback: a parser's may quote the line it failed at.
            log.error("credentials.broken", provider=provider, why=why, in_use="the last good")  # noqa: TRY400
        else:
            log.info("credentials.loaded", provider=provider)
        return entry
