"""Who may look: the operator token, asked for once and remembered in a signed cookie."""

import hashlib
import hmac
import time
from collections.abc import Callable

COOKIE = "clicktrace_console"
LIFETIME = 12 * 3_600
"""How long a session lasts, in seconds."""

_PREFIX = "console-session"


class Sessions:
    """Signs and checks sessions by the operator token itself: nothing is stored, and a new token ends them all."""

    def __init__(self, operator_token: str, *, clock: Callable[[], float] = time.time) -> None:
        """Asks for nothing when there is no token."""
        self._token = operator_token.encode()
        self._clock = clock

    @property
    def are_needed(self) -> bool:
        """Says whether a token is asked for."""
        return bool(self._token)

    def is_token(self, given: str) -> bool:
        """Says whether this is the token, in a time that does not tell how much of it is right."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token)

    def begin(self) -> str:
        """Returns the value of a cookie that is good from now on."""
        until = str(int(self._clock()) + LIFETIME)
        return f"{until}.{self._sign(until)}"

    def is_good(self, cookie: str) -> bool:
        """Says whether a cookie is one of ours and not too old."""
        until, _, signature = cookie.partition(".")
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), self._sign(until).encode()):
            return False
        return int(until) > self._clock()

    def _sign(self, until: str) -> str:
        return hmac.new(self._token, f"{_PREFIX}:{until}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()
