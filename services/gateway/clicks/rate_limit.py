"""Rate limits of traces: token buckets per client address and per offer."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

from services.gateway.model import Click, Offer


class TokenBuckets:
    """One bucket for each key; each holds up to `burst` tokens and gains `rate` a second.

    Only the `capacity` keys used last are remembered; one that is forgotten comes back with a full bucket.
    """

    def __init__(self, *, capacity: int, clock: Callable[[], float]) -> None:
        """Begins with all buckets full; `clock` gives seconds."""
        self._capacity = capacity
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, *, rate: float, burst: float) -> bool:
        """Takes one token; returns whether there was one.

        A bucket holds `burst` tokens and gets `rate` tokens per second.
        """
        now = self._clock()
        tokens, since = self._buckets.pop(key, (burst, now))
        tokens = min(burst, tokens + (now - since) * rate)
        taken = tokens >= 1
        self._buckets[key] = (tokens - 1 if taken else tokens, now)
        if len(self._buckets) > self._capacity:
            self._buckets.popitem(last=False)
        return taken

    def give_back(self, key: str, *, burst: float) -> None:
        """Puts back a token that was just taken; `burst` is the number of tokens that the bucket holds."""
        tokens, since = self._buckets[key]
        self._buckets[key] = (min(burst, tokens + 1), since)


def _client(address: str) -> str:
    """Returns what counts as one client: an IPv4 address, or the /64 that one IPv6 subscriber has to itself."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network((address, 64), strict=False))


class RateLimits:
    """Decides by rate alone which clicks may have a trace; the others get the fallback."""

    def __init__(
        self,
        *,
        client_rate: float,
        client_burst: float,
        offer_rate: float,
        offer_burst: float,
        clock: Callable[[], float],
    ) -> None:
        """Rates are in clicks a second, bursts in clicks; those of an offer are multiplied by its weight."""
        self._client_rate = client_rate
        self._client_burst = client_burst
        self._offer_rate = offer_rate
        self._offer_burst = offer_burst
        self._clients = TokenBuckets(capacity=50_000, clock=clock)
        self._offers = TokenBuckets(capacity=10_000, clock=clock)

    def refusal(self, click: Click, offer: Offer) -> str:
        """Returns the UPPER_SNAKE reason why a click may not have a trace now; empty if it may."""
        if not self._clients.take(_client(click.address), rate=self._client_rate, burst=self._client_burst):
            return "CLIENT_RATE"
        weight = offer.weight
        if not self._offers.take(offer.name, rate=self._offer_rate * weight, burst=self._offer_burst * weight):
            return "OFFER_RATE"
        return ""
