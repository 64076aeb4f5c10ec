"""Proves that the demo secret is made once, is nobody else's to read, and never shows up in a fault."""

from pathlib import Path

import pytest

from local.demo import credentials
from local.errors import LocalError


def test_it_is_made_once_and_kept(tmp_path: Path) -> None:
    path = credentials.ensure(tmp_path / "credentials")
    first = path.read_text()
    assert credentials.ensure(tmp_path / "credentials").read_text() == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    secret = credentials.read(path)
    assert secret.match("clicktrace-demo", secret.password)
    assert len(secret.password) >= 20
    assert credentials.ensure(tmp_path / "another").read_text() != first


@pytest.mark.parametrize("content", ["password = hidden", 'password = "hidden"', ""])
def test_a_broken_file_is_named_without_its_content(tmp_path: Path, content: str) -> None:
    path = tmp_path / "demo.toml"
    path.write_text(content)
    with pytest.raises(LocalError) as fault:
        credentials.read(path)
    assert str(path) in str(fault.value)
    assert "hidden" not in str(fault.value)
