"""Shipped profiles are there, a mounted directory wins, and every faulty file is named at once."""

from pathlib import Path

import pytest

from libs.common.providers.library import read_profiles
from libs.common.providers.profile import ProfileError

OWN = 'title = "ours"\nsource = "b"\nread = 2026-12-01\n[login]\nusername = "{username}"\npassword = "{password}"\n'


def test_a_mounted_profile_takes_the_place_of_a_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "oxylabs.toml").write_text(OWN)
    (tmp_path / "another.toml").write_text(OWN)
    (tmp_path / "notes.txt").write_text("no profile")
    profiles = read_profiles(tmp_path)
    assert profiles["oxylabs"].title == profiles["another"].title == "ours"
    assert profiles["iproyal"].title != "ours"
    assert "notes" not in profiles


def test_every_faulty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "first.toml").write_text("[x")
    (tmp_path / "second.toml").write_text(OWN + "foo = 1\n")
    with pytest.raises(ProfileError, match=r"(?s)first\.toml: is no TOML.*second\.toml: login\.foo"):
        read_profiles(tmp_path)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="cannot read the profiles in"):
        read_profiles(tmp_path / "nowhere")
