"""Finds profiles: those that are shipped, and those of a mounted directory, which win."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from libs.common.providers.profile import Profile, ProfileError, parse

_SUFFIX = ".toml"


def read_profiles(overrides: Path | None = None) -> Mapping[str, Profile]:
    """Returns all profiles by name; a file of `overrides` takes the place of a shipped one of the same name.

    Raises ProfileError that names every faulty file and what is wrong with it, and one for a directory that cannot be
    read.
    """
    texts = {
        entry.name.removesuffix(_SUFFIX): entry.read_text(encoding="utf-8")
        for entry in resources.files(__package__).iterdir()
        if entry.name.endswith(_SUFFIX)
    }
    if overrides is not None:
        try:
            texts |= {path.stem: path.read_text(encoding="utf-8") for path in sorted(overrides.glob(f"*{_SUFFIX}"))}
            next(overrides.iterdir(), None)
        except (OSError, UnicodeDecodeError) as error:
            raise ProfileError(f"cannot read the profiles in {overrides} ({type(error).__name__})") from None
    profiles, problems = {}, []
    for name, text in sorted(texts.items()):
        try:
            profiles[name] = parse(text)
        except ProfileError as error:
            problems.append(f"{name}{_SUFFIX}: {error.message}")
    if problems:
        raise ProfileError("\n".join(problems))
    return profiles
