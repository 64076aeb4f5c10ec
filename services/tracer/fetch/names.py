"""Makes libcurl ask again for names that did not resolve.

libcurl remembers for 30 s that a name was missing, in the cache that all walks share: a name server that failed for a
moment would fail every walk through that proxy for half a minute.
"""

import pycurl

UNRESOLVED = frozenset({pycurl.E_COULDNT_RESOLVE_HOST, pycurl.E_COULDNT_RESOLVE_PROXY})
"""The CURLcodes of a name without an address."""

_MOST = 10_000

Name = tuple[str, int]
"""A host and port to connect to, which is what libcurl's cache goes by."""


class MissingNames:
    """The names that libcurl remembers as missing; one per process."""

    def __init__(self) -> None:
        """Knows of none yet."""
        self._missing: set[Name] = set()

    def forget(self, curl: pycurl.Curl, name: Name) -> bool:
        """Makes the next transfers of a handle look a missing name up again; returns whether it was missing."""
        if name not in self._missing:
            return False
        self._missing.discard(name)
        host, port = name
        curl.setopt(pycurl.RESOLVE, [f"-{host}:{port}"])
        return True

    def learn(self, name: Name) -> None:
        """Records that a transfer ended with one of `UNRESOLVED`."""
        if len(self._missing) >= _MOST:
            self._missing.clear()
        self._missing.add(name)
