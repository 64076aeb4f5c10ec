"""Secrets that a test plants, and the search for them in whatever comes out of a system."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote


def leaks(secrets: Mapping[str, str], outputs: Mapping[str, str]) -> Sequence[str]:
    """Returns which secret is in which output, as it stands or in one of the forms that software gives it."""
    return [
        f"{name} ({form}) is in {where}, at …{text[max(0, text.find(found) - 80) : text.find(found)]}"
        for name, secret in secrets.items()
        for form, found in _forms(secret)
        for where, text in outputs.items()
        if found in text
    ]


def _forms(secret: str) -> Iterator[tuple[str, str]]:
    yield "as it is", secret
    yield "reversed", secret[::-1]
    yield "in hexadecimal", secret.encode().hex()
    if quote(secret, safe="") != secret:
        yield "percent-encoded", quote(secret, safe="")
    # Whatever stands before it, one of the three alignments is the one that base64 gives; the ends differ with them.
    for before in range(3):
        encoded = base64.b64encode(b"x" * before + secret.encode()).decode().rstrip("=")
        yield "in base64", encoded[2 if before else 0 : -2][before:]
