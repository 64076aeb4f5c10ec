"""Probes quarantined IPs with real requests; the pause grows with every failure, and a success ends the quarantine."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from libs.common.errors import ClicktraceError
from libs.common.process import logs
from services.pool_manager.inventory.credentials import Credentials
from services.pool_manager.model.proxies import Protocol as ProxyProtocol
from services.pool_manager.model.proxies import Proxy

log = logs.get(__name__)

_AT_ONCE = 8
_LOOK_SECONDS = 5.0
# Longer than any probe takes; a replica that dies with a probe leaves it to the others after this.
CLAIM_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Probe:
    """A proxy to probe; `claim` proves that this replica alone may."""

    proxy_id: int
    claim: datetime
    proxy: Proxy


@dataclass(frozen=True, slots=True)
class Exit:
    """What the probe URL saw; the country is empty where it does not say."""

    address: str
    country: str


class ProbeStore(Protocol):
    """Knows which IPs are quarantined, and when each is to be probed."""

    async def claim_probes(self, count: int, seconds: float) -> Sequence[Probe]:
        """Chooses up to `count` IPs that are due, for this replica alone for `seconds`.

        A claim lapses, so another replica retries after a crash.
        """
        ...

    async def probed(self, probe: Probe, seen: Exit | None, first_pause: float) -> bool:
        """Records what the probe saw (None: it failed); returns whether the quarantine is over.

        `first_pause` is the pause after the first failure, in seconds.
        """
        ...


# Fetches the probe URL through a proxy with a user name and a password; None if that fails.
Fetch = Callable[[Proxy, str, str], Awaitable[Exit | None]]


class Prober:
    """Runs due probes, a few at once."""

    def __init__(self, store: ProbeStore, credentials: Credentials, fetch: Fetch, *, first_pause: float) -> None:
        """Prepares a prober; `first_pause` is in seconds."""
        self._store = store
        self._credentials = credentials
        self._fetch = fetch
        self._first_pause = first_pause

    async def run(self) -> None:
        """Probes until it is cancelled."""
        while True:
            try:
                tried = await self.round()
            except ClicktraceError as error:
                log.warning("probing.failed", reason=error.reason)
                tried = 0
            if tried < _AT_ONCE:
                await asyncio.sleep(min(_LOOK_SECONDS, self._first_pause))

    async def round(self) -> int:
        """Runs the probes that are due; returns their number."""
        probes = await self._store.claim_probes(_AT_ONCE, CLAIM_SECONDS)
        await asyncio.gather(*(self._try(probe) for probe in probes))
        return len(probes)

    async def _try(self, probe: Probe) -> None:
        # A probe has a session of its own.
        dialled = self._credentials.dial(probe.proxy, secrets.token_hex(16))
        proxy = probe.proxy._replace(
            ip_address=dialled.host, ip_port=dialled.port, protocol=ProxyProtocol(dialled.protocol)
        )
        seen = await self._fetch(proxy, dialled.username, dialled.password)
        back = await self._store.probed(probe, seen, self._first_pause)
        expected = seen is None or seen.country in {"", probe.proxy.country}
        log.info("proxy.probed", proxy_id=probe.proxy_id, ip_address=probe.proxy.ip_address, back=back)
        if seen is not None and not expected:
            log.warning("proxy.elsewhere", proxy_id=probe.proxy_id, country=probe.proxy.country, exit=seen.country)
