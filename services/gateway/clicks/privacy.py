"""Reduces personal data before it is stored in the click log."""

import enum
import hashlib
import hmac
import ipaddress
from functools import lru_cache

_IPV4_PREFIX, _IPV6_PREFIX = 24, 48


class PersonalData(enum.StrEnum):
    """How addresses and User-Agents are stored in the log."""

    NONE = "none"
    """They are not kept, and neither are snippets of pages."""
    TRUNCATED = "truncated"
    """Addresses keep their network (/24, /48), User-Agents their product and version, also in snippets of pages."""
    HASHED = "hashed"
    """A keyed hash: the same visitor has the same hash, and cannot be identified. Snippets of pages are not kept."""


class Privacy:
    """Converts personal data into what may be kept."""

    def __init__(self, policy: PersonalData, key: bytes) -> None:
        """`key` is the secret of the hashes: without one, all addresses could be tried."""
        self._policy = policy
        self._key = key

    def address(self, address: str) -> str:
        """Returns what is kept of an address."""
        if self._policy is PersonalData.TRUNCATED:
            return _network(address)
        return self._hashed(address)

    def user_agent(self, user_agent: str) -> str:
        """Returns what is kept of a User-Agent."""
        if self._policy is PersonalData.TRUNCATED:
            return user_agent.partition(" ")[0]
        return self._hashed(user_agent)

    def snippet(self, snippet: str, user_agent: str) -> str:
        """Returns what is kept of a snippet of a page, which may repeat the User-Agent that the page was told."""
        if self._policy is not PersonalData.TRUNCATED:
            return ""
        return snippet.replace(user_agent, self.user_agent(user_agent)) if user_agent else snippet

    def _hashed(self, text: str) -> str:
        if self._policy is PersonalData.NONE or not text:
            return ""
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()[:32]


@lru_cache(maxsize=4_096)
def _network(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    # By hand: to make a network object of it costs as much as the rest of a click's record.
    kept = _IPV4_PREFIX if address.version == 4 else _IPV6_PREFIX
    dropped = address.max_prefixlen - kept
    return str(type(address)(int(address) >> dropped << dropped))
