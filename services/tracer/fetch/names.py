"""Makes libcurl ask again for names that did not resolve.

libcurl remembers for 30 s that a name was missing, in the cache that all walks share: a name server that failed for a
moment would fail every walk through that proxy for half a minute.
"""

import pycurl

_MOST = 10_000

Name = tuple[str, int]
"""A host and port to connect to, which is what libcurl's cache goes by."""


class MissingNames:
    """The names that libcurl remembers as missing; one per process."""

    def __init__(self) -> None:
        """Knows of none yet."""
        self._missing: set[Name] = set()

    def forget(self, curl: pycurl.Curl, name: Name) -> None:
        """Prepares a transfer that connects to `name`, so that a name that was missing is looked up again."""
        if name in self._missing:
            self._missing.discard(name)
            host, port = name
            curl.setopt(pycurl.RESOLVE, [f"-{host}:{port}"])

    def learn(self, curl: pycurl.Curl, name: Name, code: int) -> None:
        """Records the CURLcode of the transfer; the next one of the handle looks names up as usual."""
        curl.unsetopt(pycurl.RESOLVE)
        if code in {pycurl.E_COULDNT_RESOLVE_HOST, pycurl.E_COULDNT_RESOLVE_PROXY}:
            if len(self._missing) >= _MOST:
                self._missing.clear()
            self._missing.add(name)
