"""Sends webhooks over HTTP."""

from types import TracebackType
from typing import Self

import aiohttp

_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)


class WebhookClient:
    """Posts while it is entered as an async context manager; follows no redirect, and knows no proxy of the machine."""

    def __init__(self) -> None:
        """Opens nothing yet."""
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=_TIMEOUT, trust_env=False, headers={"User-Agent": "Clicktrace-Webhook/1"}
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> str:
        """Sends a body; returns what went wrong, empty if the answer was 2xx."""
        if self._session is None:
            raise RuntimeError("the webhook client is not open")
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                return "" if 200 <= response.status < 300 else f"HTTP {response.status}"
        except TimeoutError:
            return "no answer in time"
        except (aiohttp.ClientError, OSError) as error:
            # The words of the error may hold the whole URL, and with it secrets of the receiver.
            return type(error).__name__
