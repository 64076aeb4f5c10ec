"""Proves that credentials are read from the provider's file, follow its changes, outlive a broken one, and
show nowhere.
"""

from pathlib import Path

import pytest

from services.pool_manager.inventory.credentials import BrokenSecretError, Credentials, Secret
from services.pool_manager.model.proxies import Protocol, Proxy


def proxy(provider: str = "luna") -> Proxy:
    return Proxy("10.1.2.3", 7000, Protocol.HTTP, provider, "gb")


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
    assert Credentials(None).for_proxy(proxy()) == ("", "")
    assert Credentials(tmp_path).for_proxy(proxy()) == ("", "")


def test_the_user_name_is_the_files(tmp_path: Path) -> None:
    write(tmp_path, 'username = "u{x}"\npassword = "p:@ä"')
    assert Credentials(tmp_path).for_proxy(proxy()) == ("u{x}", "p:@ä")


def test_a_template_places_name_address_and_country(tmp_path: Path) -> None:
    write(tmp_path, 'username = "{country}"\npassword = ""\nusername_template = "{username}-{ip_address}/{country}"')
    assert Credentials(tmp_path).for_proxy(proxy()) == ("{country}-10.1.2.3/gb", "")


def test_a_changed_file_is_read_again_but_not_looked_at_for_every_lease(tmp_path: Path, clock: Clock) -> None:
    credentials = Credentials(tmp_path, clock=clock)
    write(tmp_path, 'username = "old"\npassword = "1"')
    assert credentials.for_proxy(proxy()) == ("old", "1")
    write(tmp_path, 'username = "new"\npassword = "2"')
    assert credentials.for_proxy(proxy()) == ("old", "1")
    clock.now = 1.0
    assert credentials.for_proxy(proxy()) == ("new", "2")
    (tmp_path / "luna.toml").unlink()
    clock.now = 2.0
    assert credentials.for_proxy(proxy()) == ("", "")


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
    credentials.for_proxy(proxy())
    write(tmp_path, text)
    clock.now = 1.0
    assert credentials.for_proxy(proxy()) == ("good", "1")
    output = "".join(capfd.readouterr())
    assert "credentials.broken" in output
    assert "s3cret" not in output


def test_a_file_that_is_no_text_is_broken(tmp_path: Path) -> None:
    (tmp_path / "luna.toml").write_bytes(b'username = "\xff"')
    assert Credentials(tmp_path).for_proxy(proxy()) == ("", "")


@pytest.mark.parametrize("provider", ["../luna", "", ".", "..", "a/b", "luna\0", "/etc/passwd", "x" * 65])
def test_a_provider_leads_nowhere_else(tmp_path: Path, provider: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    write(tmp_path, 'username = "outside"\npassword = "1"')
    assert Credentials(inside).for_proxy(proxy(provider)) == ("", "")


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret.parse('username = "u-s3cret"\npassword = "s3cret"')
    assert "s3cret" not in repr(secret)
    with pytest.raises(BrokenSecretError) as caught:
        Secret.parse('username = "s3cret')
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
