"""pharox, the nearest library of PyPI, for `bench.pool`: as its documentation shows it, threads and one manager.

`python -m bench.peers.pharox_leases DATABASE_URL SECONDS` leases and releases in a process of its own, a proxy for one
lease at a time, and prints the pairs a second and the share of attempts that failed.
"""

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

from pharox import ProxyManager
from pharox.exceptions import ProxyUnavailableError
from pharox.models import Proxy, ProxyProtocol, ProxyStatus
from pharox.storage.postgres import PostgresStorage, metadata, pool_table
from sqlalchemy import create_engine

THREADS = 16
PROXIES = 1_000


@contextmanager
def manager(url: str) -> Iterator[ProxyManager]:
    """A manager of pharox over a fresh pool."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), pool_size=THREADS)
    metadata.create_all(engine)
    storage = PostgresStorage(engine)
    pool_id = uuid4()
    with engine.begin() as connection:
        connection.execute(pool_table.insert().values(id=pool_id, name="bench"))
    storage.ensure_consumer("bench")
    storage.add_proxies_bulk(
        [
            Proxy(
                host=f"10.0.{number // 250}.{number % 250 + 1}",
                port=7000,
                protocol=ProxyProtocol.HTTP,
                pool_id=pool_id,
                status=ProxyStatus.ACTIVE,
                max_concurrency=1,
            )
            for number in range(PROXIES)
        ]
    )
    yield ProxyManager(storage=storage)
    engine.dispose()


def pharox(url: str, seconds: float) -> tuple[float, float]:
    """Returns the pairs a second, and the share of the attempts that failed though hundreds of proxies were free."""
    with manager(url) as leases:
        end = time.perf_counter() + seconds

        def caller(_: int) -> tuple[int, int]:
            pairs = failures = 0
            while time.perf_counter() < end:
                try:
                    lease = leases.acquire_proxy(pool_name="bench", consumer_name="bench", duration_seconds=30)
                except ProxyUnavailableError:
                    lease = None
                if lease is None:
                    failures += 1
                else:
                    leases.release_proxy(lease)
                    pairs += 1
            return pairs, failures

        began = time.perf_counter()
        with ThreadPoolExecutor(THREADS) as executor:
            done = list(executor.map(caller, range(THREADS)))
        took = time.perf_counter() - began
    pairs, failures = sum(some for some, _ in done), sum(some for _, some in done)
    return pairs / took, failures / max(1, pairs + failures)


if __name__ == "__main__":
    print(json.dumps(pharox(sys.argv[1], float(sys.argv[2]))))
