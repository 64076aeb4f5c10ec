"""Credentials of proxy providers, from one secret file per provider.

`PROVIDER.toml` holds `username` and `password`, and `profile` for a provider that sells one gateway and sessions: the
profile (`libs/common/providers`) says what is dialled for a slot, and what the login is made of. Without a profile the
row is dialled, and `username_template` may place `{username}`, `{ip_address}` and `{country}`. Nothing of a file is
ever logged, traced or stored.
"""

import re
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from libs.common.errors import ClicktraceError, Code
from libs.common.process import logs
from libs.common.providers.library import read_profiles
from libs.common.providers.profile import Account, Profile, ProfileError, Rendered
from services.pool_manager.model.proxies import Protocol, Proxy

log = logs.get(__name__)

# How often a file is looked at; a rotated secret takes effect within this many seconds.
_LOOK_SECONDS = 1.0

_PROVIDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PLACE = re.compile(r"\{(\w*)\}")
_PLACES = frozenset({"username", "ip_address", "country"})
_KEYS = frozenset({"username", "password", "username_template", "profile", "account"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def is_provider(name: str) -> bool:
    """Tells whether this can name a provider, and so a file; it leads nowhere but into the directory."""
    return _PROVIDER.fullmatch(name) is not None


class BrokenSecretError(Exception):
    """The secret file of a provider cannot be used."""


# A session is asked for that lives twice as long as a trace may take.
_SESSION_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Secret:
    """What one file says."""

    username: str
    password: str
    template: str
    account: str = ""
    profile: Profile | None = None

    def __repr__(self) -> str:
        return "Secret(...)"

    @classmethod
    def parse(cls, text: str, profiles: Mapping[str, Profile]) -> Self:
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
        account, profile = values.get("account", ""), _profile_of(values, profiles)
        if profile is None and not username:
            raise BrokenSecretError("has no username")
        if any(_CONTROL.search(value) for value in (username, password, template, account)):
            raise BrokenSecretError("holds a control character, such as a line break")
        if unknown := set(_PLACE.findall(template)) - _PLACES:
            raise BrokenSecretError(f"has {len(unknown)} unknown places in its username_template")
        secret = cls(username, password, template, account, profile)
        if profile is not None:
            # What cannot travel is told now, and not with a lease.
            secret.dial(Proxy("slot", 1, Protocol.HTTP, "", "us"), "sample")
        return secret

    def dial(self, proxy: Proxy, nonce: str) -> Rendered:
        """Returns what is dialled for a lease with this nonce on a proxy."""
        if self.profile is not None:
            try:
                return self.profile.render(
                    Account(self.username, self.password, self.account),
                    slot=proxy.ip_address,
                    port=proxy.ip_port,
                    protocol=proxy.protocol.value,
                    country=proxy.country,
                    nonce=nonce,
                    ttl_seconds=_SESSION_SECONDS,
                )
            except ProfileError as error:
                raise BrokenSecretError(f"makes a login that cannot be used: {error.message}") from None
        values = {"username": self.username, "ip_address": proxy.ip_address, "country": proxy.country}
        username = _PLACE.sub(lambda place: values[place[1]], self.template)
        return Rendered(proxy.ip_address, proxy.ip_port, proxy.protocol.value, username, self.password)


def _profile_of(values: Mapping[str, str], profiles: Mapping[str, Profile]) -> Profile | None:
    """Returns the profile that a secret file names; None if it names none."""
    name = values.get("profile")
    if not name:
        return None
    if name not in profiles:
        raise BrokenSecretError(f"names no known profile; there are {', '.join(sorted(profiles))}")
    if "username_template" in values:
        raise BrokenSecretError("has a profile and a username_template; the profile alone makes the login")
    return profiles[name]


@dataclass(slots=True)
class _Entry:
    looked: float
    stamp: tuple[int, int, int] | None
    secret: Secret | None


class Credentials:
    """The secrets of all providers; a file is read again when it changes.

    A missing file means a proxy without credentials. While a file is broken the last good content holds.
    """

    def __init__(
        self,
        directory: Path | None,
        profiles: Mapping[str, Profile] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads nothing yet; without a directory there are no credentials.

        Secret files name one of `profiles`; those that are shipped if left out.
        """
        self._directory = directory
        self._profiles = read_profiles() if profiles is None else profiles
        self._clock = clock
        self._entries: dict[str, _Entry] = {}

    def dial(self, proxy: Proxy, nonce: str) -> Rendered:
        """Returns what is dialled for a lease with this nonce on a proxy; without a login if it wants none.

        With a profile every lease gets a session of its own, and a repeated request the same again. Raises
        FAILED_PRECONDITION/PROVIDER_LOGIN_UNUSABLE for a slot whose login cannot travel.
        """
        bare = Rendered(proxy.ip_address, proxy.ip_port, proxy.protocol.value, "", "")
        if self._directory is None:
            return bare
        entry = self._entries.get(proxy.provider)
        now = self._clock()
        if entry is None or now - entry.looked >= _LOOK_SECONDS:
            entry = self._look(self._directory, proxy.provider, entry, now)
        if entry.secret is None:
            return bare
        try:
            return entry.secret.dial(proxy, nonce)
        except BrokenSecretError as error:
            raise ClicktraceError(
                Code.FAILED_PRECONDITION,
                "PROVIDER_LOGIN_UNUSABLE",
                f"the secret file of provider {proxy.provider!r} {error}; the slot is {proxy.ip_address!r}",
            ) from None

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
            entry.secret = Secret.parse(path.read_text(encoding="utf-8"), self._profiles)
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
