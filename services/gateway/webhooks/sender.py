"""Sends webhook requests over HTTP."""

from types import TracebackType
from typing import Self

import aiohttp

_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)


class WebhookSender:
    """Posts while it is entered as an async context manager; follows no redirect and ignores proxy variables.

    A request may take 10 s in all, 5 s of them to connect.
    """

    def __init__(self) -> None:
        """Opens no session yet."""
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
        """Posts a body; returns what went wrong, empty if the answer was 2xx."""
        if self._session is None:
            raise RuntimeError("the webhook sender is not entered")
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                return "" if 200 <= response.status < 300 else f"HTTP {response.status}"
        except TimeoutError:
            return "no answer in time"
        except (aiohttp.ClientError, OSError) as error:
            # The message of the error may hold the whole URL, and with it secrets of the receiver.
            return type(error).__name__
