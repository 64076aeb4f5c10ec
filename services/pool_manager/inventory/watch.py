"""Streams the pool: all of it first, then its changes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from services.pool_manager.model.capacity import PoolStatus
from services.pool_manager.model.proxies import ProxyFilter, ProxyInfo, ProxyPage

_PAGE = 1000
# Reading a pool of a million takes seconds; watching is to take a fifth of one connection's time at most.
_REST_FACTOR = 4.0


class WatchStore(Protocol):
    """Reads the pool."""

    async def status(self, country: str) -> PoolStatus:
        """Counts the pool, or one country of it, by state."""
        ...

    async def proxies(self, chosen: ProxyFilter, *, after: int, count: int) -> ProxyPage:
        """Returns up to `count` proxies in order of their ids, from behind the id `after` on."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """The differences from the previous change."""

    status: PoolStatus
    proxies: tuple[ProxyInfo, ...]
    deleted: tuple[int, ...]


async def watch(store: WatchStore, country: str, interval: float) -> AsyncIterator[Change]:
    """Yields the pool as it is, up to 1000 proxies at a time, then its changes, at most one `interval` seconds.

    Nothing is yielded while nothing changes.
    """
    loop = asyncio.get_running_loop()
    known: dict[int, ProxyInfo] = {}
    first = True
    while True:
        began = loop.time()
        status = await store.status(country)
        seen: dict[int, ProxyInfo] = {}
        async for page in _pages(store, country):
            fresh = tuple(info for info in page if known.get(info.proxy_id) != info)
            seen.update((info.proxy_id, info) for info in page)
            if fresh or first:
                yield Change(status, fresh, ())
            first = False
        if deleted := tuple(known.keys() - seen.keys()):
            yield Change(status, (), deleted)
        known = seen
        took = loop.time() - began
        await asyncio.sleep(max(interval - took, took * _REST_FACTOR))


async def _pages(store: WatchStore, country: str) -> AsyncIterator[tuple[ProxyInfo, ...]]:
    after = 0
    while True:
        page = await store.proxies(ProxyFilter(country=country), after=after, count=_PAGE)
        yield page.proxies
        if len(page.proxies) < _PAGE:
            return
        after = page.proxies[-1].proxy_id
