"""Console sessions: the operator token is asked for once, then a signed cookie stands for it."""

import hashlib
import hmac
import time
from collections.abc import Callable

COOKIE = "clicktrace_console"
LIFETIME_SECONDS = 12 * 3_600
"""How long a session lasts."""

_PREFIX = "console-session"


class Sessions:
    """Signs and checks session cookies with the operator token: nothing is stored, a new token ends all sessions."""

    def __init__(self, operator_token: str, *, clock: Callable[[], float] = time.time) -> None:
        """Needs no sessions if the token is empty; `clock` returns seconds since 1970."""
        self._token = operator_token.encode()
        self._clock = clock

    @property
    def are_needed(self) -> bool:
        """Whether the console asks for a token."""
        return bool(self._token)

    def is_token(self, given: str) -> bool:
        """Returns whether `given` is the token, compared in constant time."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token)

    def begin(self) -> str:
        """Returns the cookie value of a new session."""
        until = str(int(self._clock()) + LIFETIME_SECONDS)
        return f"{until}.{self._sign(until)}"

    def is_good(self, cookie: str) -> bool:
        """Returns whether a cookie value was signed with the present token and has not expired."""
        until, _, signature = cookie.partition(".")
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), self._sign(until).encode()):
            return False
        return int(until) > self._clock()

    def _sign(self, until: str) -> str:
        return hmac.new(self._token, f"{_PREFIX}:{until}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()
