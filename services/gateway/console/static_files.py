"""The static files of the page; their path holds their digest, so that a browser caches them until they change."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file and its media type."""

    content: bytes
    content_type: str


def load() -> tuple[str, Mapping[str, StaticFile]]:
    """Returns the digest of all files together, and the files by path."""
    found = dict(sorted(_walk(files(__package__) / "static", "")))
    digest = hashlib.sha256()
    for path, file in found.items():
        digest.update(path.encode() + b"\0" + file.content)
    return digest.hexdigest()[:16], found


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, StaticFile]]:
    found = []
    for entry in folder.iterdir():
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            found += _walk(entry, f"{path}/")
        elif (kind := _TYPES.get(f".{entry.name.rpartition('.')[2]}")) is not None:
            found.append((path, StaticFile(entry.read_bytes(), kind)))
    return found
