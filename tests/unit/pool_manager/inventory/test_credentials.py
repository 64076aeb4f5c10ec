"""Proves that credentials are read from the provider's file, follow its changes, outlive a broken one, and
show nowhere.
"""

import re
from pathlib import Path

import pytest

from libs.common.errors import ClicktraceError
from libs.common.providers.library import read_profiles
from services.pool_manager.inventory.credentials import BrokenSecretError, Credentials, Secret
from services.pool_manager.model.proxies import Protocol, Proxy


def proxy(provider: str = "luna") -> Proxy:
    return Proxy("10.1.2.3", 7000, Protocol.HTTP, provider, "gb")


def login(credentials: Credentials, proxy: Proxy) -> tuple[str, str]:
    dialled = credentials.dial(proxy, "nonce")
    assert (dialled.host, dialled.port, dialled.protocol) == (proxy.ip_address, proxy.ip_port, proxy.protocol.value)
    return dialled.username, dialled.password


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def write(directory: Path, text: str, name: str = "luna") -> None:
    """Replaces a file as a mounted secret is replaced: by renaming."""
    new = directory / f".{name}.new"
    new.write_text(text)
    new.replace(directory / f"{name}.toml")


def test_without_a_directory_or_a_file_there_are_none(tmp_path: Path) -> None:
    assert login(Credentials(None), proxy()) == ("", "")
    assert login(Credentials(tmp_path), proxy()) == ("", "")


def test_the_user_name_is_the_files(tmp_path: Path) -> None:
    write(tmp_path, 'username = "u{x}"\npassword = "p:@ä"')
    assert login(Credentials(tmp_path), proxy()) == ("u{x}", "p:@ä")


def test_a_template_places_name_address_and_country(tmp_path: Path) -> None:
    write(tmp_path, 'username = "{country}"\npassword = ""\nusername_template = "{username}-{ip_address}/{country}"')
    assert login(Credentials(tmp_path), proxy()) == ("{country}-10.1.2.3/gb", "")


def test_a_changed_file_is_read_again_but_not_looked_at_for_every_lease(tmp_path: Path, clock: Clock) -> None:
    credentials = Credentials(tmp_path, clock=clock)
    write(tmp_path, 'username = "old"\npassword = "1"')
    assert login(credentials, proxy()) == ("old", "1")
    write(tmp_path, 'username = "new"\npassword = "2"')
    assert login(credentials, proxy()) == ("old", "1")
    clock.now = 1.0
    assert login(credentials, proxy()) == ("new", "2")
    (tmp_path / "luna.toml").unlink()
    clock.now = 2.0
    assert login(credentials, proxy()) == ("", "")


@pytest.mark.parametrize(
    "text",
    [
        "username = ",
        'password = "s3cret"',
        'username = "u"\npassword = 5',
        'username = "u"\npasswort = "s3cret"',
        'username = "u\\r\\nX: s3cret"\npassword = "p"',
        'username = "u"\npassword = "s3cret"\nusername_template = "{user}"',
        'username = "u"\npassword = "s3cret"\nusername_template = "\\n"',
    ],
)
def test_a_broken_file_leaves_the_last_good_one_in_use(
    tmp_path: Path, clock: Clock, capfd: pytest.CaptureFixture[str], text: str
) -> None:
    credentials = Credentials(tmp_path, clock=clock)
    write(tmp_path, 'username = "good"\npassword = "1"')
    login(credentials, proxy())
    write(tmp_path, text)
    clock.now = 1.0
    assert login(credentials, proxy()) == ("good", "1")
    output = "".join(capfd.readouterr())
    assert "credentials.broken" in output
    assert "s3cret" not in output


def test_a_file_that_is_no_text_is_broken(tmp_path: Path) -> None:
    (tmp_path / "luna.toml").write_bytes(b'username = "\xff"')
    assert login(Credentials(tmp_path), proxy()) == ("", "")


@pytest.mark.parametrize("provider", ["../luna", "", ".", "..", "a/b", "luna\0", "/etc/passwd", "x" * 65])
def test_a_provider_leads_nowhere_else(tmp_path: Path, provider: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    write(tmp_path, 'username = "outside"\npassword = "1"')
    assert login(Credentials(inside), proxy(provider)) == ("", "")


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret.parse('username = "u-s3cret"\npassword = "s3cret"', {})
    assert "s3cret" not in repr(secret)
    with pytest.raises(BrokenSecretError) as caught:
        Secret.parse('username = "s3cret', {})
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def slot(number: int = 1) -> Proxy:
    return Proxy(f"luna-us-slot-{number}", 7000, Protocol.HTTP, "luna", "us")


LUNA = 'profile = "lunaproxy"\nusername = "NAME"\npassword = "PW"'


def test_a_slot_leads_to_the_gateway_of_its_provider_with_a_session_for_each_lease(tmp_path: Path) -> None:
    write(tmp_path, LUNA)
    credentials = Credentials(tmp_path)
    first, second, again = (credentials.dial(slot(), nonce) for nonce in ("a" * 32, "b" * 32, "a" * 32))
    assert (first.host, first.port, first.password) == ("pr.lunaproxy.com", 12233, "PW")
    assert re.fullmatch(r"user-NAME-region-us-sessid-[a-z0-9]{10}-sesstime-2", first.username)
    assert first.username != second.username
    assert first == again


def test_rows_without_a_profile_stay_addresses(tmp_path: Path) -> None:
    write(tmp_path, 'username = "u"\npassword = "p"')
    dialled = Credentials(tmp_path).dial(slot(), "nonce")
    assert (dialled.host, dialled.port) == ("luna-us-slot-1", 7000)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('profile = "lunar"\nusername = "s3cret"\npassword = "s3cret"', "names no known profile; there are brightdata"),
        ('profile = "lunaproxy"\nusername = "s3:cret"\npassword = "s3cret"', "holds a colon"),
        (f'profile = "lunaproxy"\nusername = "{"s3cret" * 50}"\npassword = "s3cret"', "bytes long"),
        ('profile = "lunaproxy"\nusername = "s3cret"', "password is empty"),
        (f'{LUNA}\nusername_template = "s3cret"', "a profile and a username_template"),
    ],
)
def test_a_file_that_makes_no_login_says_why_when_it_is_read(text: str, why: str) -> None:
    with pytest.raises(BrokenSecretError, match=why) as refused:
        Secret.parse(text, read_profiles())
    assert "s3cret" not in str(refused.value)


def test_a_slot_whose_login_cannot_travel_is_named(tmp_path: Path) -> None:
    write(tmp_path, 'profile = "webshare"\nusername = "NAME"\npassword = "PW"')
    wide = Proxy("s" * 253, 80, Protocol.HTTP, "luna", "us")
    with pytest.raises(ClicktraceError, match=r"PROVIDER_LOGIN_UNUSABLE.*bytes long") as refused:
        Credentials(tmp_path).dial(wide, "nonce")
    assert "PW" not in str(refused.value)
