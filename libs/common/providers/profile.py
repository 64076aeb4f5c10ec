"""The profile of a provider: where its gateway is, and what its login is made of.

A provider sells one host and port; country, session and life time are words in the user name or in the password. A
profile says which, in TOML (`libs/common/providers/*.toml`). A row of the pool is then a *slot*: a label, and a permit
for one session at a time, not an address.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from libs.common.errors import ClicktraceError, Code

MAX_LOGIN_BYTES = 255
"""The longest user name and the longest password, in bytes: a length octet holds no more (RFC 1929)."""

_PLACE = re.compile(r"\{([^{}]*)\}")
_PLACES = frozenset({"username", "password", "account", "country_part", "country", "session", "ttl", "slot"})
_HOST_PLACES = frozenset({"account", "country"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CLASS = re.compile(r"(.)-(.)|(.)", re.DOTALL)


class ProfileError(ClicktraceError):
    """A profile, or a login that it makes, cannot be used; the message holds no secret."""

    def __init__(self, message: str) -> None:
        """INVALID_ARGUMENT/INVALID_PROFILE with a message that says what is wrong."""
        super().__init__(Code.INVALID_ARGUMENT, "INVALID_PROFILE", message)


class _Strict(BaseModel):
    # An unknown word is a misspelt one.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Endpoint(_Strict):
    """Where the provider listens."""

    host: str = Field(min_length=1, max_length=253)
    """A host name; may hold {account} and {country}."""
    ports: dict[Literal["HTTP", "HTTPS", "SOCKS5"], Annotated[int, Field(ge=1, le=65535)]] = Field(min_length=1)
    """The TCP port for each protocol that is spoken to the provider."""


class Login(_Strict):
    """What user name and password are made of."""

    username: str
    password: str


class Country(_Strict):
    """How the country of the exit is said."""

    part: str = ""
    """Stands for {country_part}; may hold {country}."""
    any: str = ""
    """Stands for {country_part} where any country will do."""
    case: Literal["lower", "upper"] = "lower"
    alias: dict[Annotated[str, Field(pattern=r"^[a-z]{2}$")], str] = Field(default_factory=dict)
    """What the provider calls a country, by its ISO 3166-1 code, where that is not the code."""


class Ttl(_Strict):
    """How the life time of a session is said."""

    unit: Literal["seconds", "minutes", "minutes or hours"]
    """"minutes or hours": `2m` to `59m`, then whole hours, `1h`."""
    least_seconds: int = Field(ge=1)
    most_seconds: int = Field(ge=1)


class Session(_Strict):
    """What a session is called, and how long it lives."""

    alphabet: str = "a-z0-9"
    """The characters of a session's name; `a-z` is a range."""
    length: int = Field(default=10, ge=6, le=64)
    """How many characters a session's name has."""
    scope: Literal["lease", "slot"] = "lease"
    """Whether each lease gets a fresh session, or a slot keeps its own."""
    ttl: Ttl | None = None
    """None where the grammar has no word for it."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a secret file holds; never shown."""

    username: str = field(repr=False)
    password: str = field(repr=False)
    account: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Rendered:
    """An endpoint and a login, ready to dial; the login is secret."""

    host: str
    port: int
    protocol: str
    username: str = field(repr=False)
    password: str = field(repr=False)


class Profile(_Strict):
    """One provider."""

    title: str = Field(min_length=1)
    source: str = Field(min_length=1)
    """Where this was read."""
    read: date
    """When it was read. No account was at hand for any profile."""
    unconfirmed: bool = False
    """Whether the vendor's own pages were not the source."""
    endpoint: Endpoint | None = None
    """None for a provider that sells addresses: the row itself is dialled."""
    login: Login
    country: Country = Country()
    session: Session = Session()

    @model_validator(mode="after")
    def _check(self) -> Self:
        for where, text, known in self._templates():
            if unknown := sorted(set(_PLACE.findall(text)) - known):
                places = ", ".join(sorted(known))
                raise ValueError(f"{where} has the unknown place {{{unknown[0]}}}; there are {places}")
            if "{" in _PLACE.sub("", text) or "}" in _PLACE.sub("", text):
                raise ValueError(f"{where} has a brace without its partner")
            if _CONTROL.search(text):
                raise ValueError(f"{where} holds a control character")
        if len(characters(self.session.alphabet)) < 10:
            raise ValueError("session.alphabet has fewer than 10 characters, so that sessions could meet")
        ttl = self.session.ttl
        if ttl is not None and ttl.least_seconds > ttl.most_seconds:
            raise ValueError("session.ttl: least_seconds is more than most_seconds")
        return self

    @property
    def has_sessions(self) -> bool:
        """Says whether the login names a session, so that an exit belongs to a lease and not to a row."""
        return "{session}" in self.login.username + self.login.password

    def render(
        self, account: Account, *, slot: str, port: int, protocol: str, country: str, nonce: str, ttl_seconds: float
    ) -> Rendered:
        """Returns what to dial for a lease of a slot.

        `nonce` is the lease's own: two leases never get the same session, and a repeated request gets its session
        again on every replica. `ttl_seconds` is how long the session has to live; the nearest that the provider
        allows is asked for. `slot` and `port` are dialled themselves where the profile has no endpoint. A protocol
        that the provider does not sell becomes HTTP, or the first that it sells. Raises ProfileError for a login that
        cannot travel: empty, longer than 255 bytes, with a control character, or with a colon in the user name of an
        HTTP proxy (RFC 7617).
        """
        spelled = self._country(country)
        values = {
            "username": account.username,
            "password": account.password,
            "account": account.account,
            "country": spelled,
            "session": self._session(slot if self.session.scope == "slot" else nonce),
            "ttl": self._ttl(ttl_seconds),
            "slot": slot,
        }
        values["country_part"] = _filled(self.country.part if country else self.country.any, values)
        username, password = _filled(self.login.username, values), _filled(self.login.password, values)
        host = slot
        if self.endpoint is not None:
            protocol = protocol if protocol in self.endpoint.ports else _preferred(self.endpoint.ports)
            host, port = _filled(self.endpoint.host, values), dict(self.endpoint.ports)[protocol]
        for what, text in (("user name", username), ("password", password)):
            _check_login(what, text)
        if ":" in username and protocol != "SOCKS5":
            raise ProfileError("the user name holds a colon, which HTTP cannot send (RFC 7617)")
        return Rendered(host, port, protocol, username, password)

    def _templates(self) -> Iterator[tuple[str, str, frozenset[str]]]:
        yield "login.username", self.login.username, _PLACES - {"password"}
        yield "login.password", self.login.password, _PLACES
        yield "country.part", self.country.part, frozenset({"country"})
        yield "country.any", self.country.any, frozenset()
        if self.endpoint is not None:
            yield "endpoint.host", self.endpoint.host, _HOST_PLACES

    def _country(self, country: str) -> str:
        code = country.lower()
        spelled = self.country.alias.get(code, code)
        return spelled.upper() if self.country.case == "upper" else spelled

    def _session(self, of: str) -> str:
        """Names a session: digits of a hash, so that the name tells nothing of the nonce, which is a proof."""
        alphabet = characters(self.session.alphabet)
        number = int.from_bytes(hashlib.sha512(of.encode()).digest())
        name = []
        for _ in range(self.session.length):
            number, digit = divmod(number, len(alphabet))
            name.append(alphabet[digit])
        return "".join(name)

    def _ttl(self, seconds: float) -> str:
        ttl = self.session.ttl
        if ttl is None:
            return ""
        wanted = int(min(max(seconds, ttl.least_seconds), ttl.most_seconds))
        if ttl.unit == "seconds":
            return str(wanted)
        minutes = -(-wanted // 60)
        if ttl.unit == "minutes":
            return str(minutes)
        return f"{minutes}m" if minutes < 60 else f"{-(-minutes // 60)}h"


def parse(text: str) -> Profile:
    """Reads a profile; ProfileError with all that is wrong with it."""
    try:
        return Profile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"is no TOML: {error}") from None
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ") for one in error.errors())
        raise ProfileError("; ".join(problems)) from None


@cache
def characters(alphabet: str) -> str:
    """Returns the characters of an alphabet such as `a-z0-9_`, each once, in their order."""
    found: dict[str, None] = {}
    for first, last, single in _CLASS.findall(alphabet):
        found.update(dict.fromkeys(map(chr, range(ord(first), ord(last) + 1)) if first else single))
    return "".join(found)


def _filled(template: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda place: values[place[1]], template)


def _preferred(ports: Mapping[Literal["HTTP", "HTTPS", "SOCKS5"], int]) -> Literal["HTTP", "HTTPS", "SOCKS5"]:
    return "HTTP" if "HTTP" in ports else next(iter(ports))


def _check_login(what: str, text: str) -> None:
    if not text:
        raise ProfileError(f"the {what} is empty")
    if len(text.encode()) > MAX_LOGIN_BYTES:
        raise ProfileError(f"the {what} is {len(text.encode())} bytes long, the most is {MAX_LOGIN_BYTES}")
    if _CONTROL.search(text):
        raise ProfileError(f"the {what} holds a control character")
