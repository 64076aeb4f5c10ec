"""The internal port, for probes and operators."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web

from libs.common.errors import ClicktraceError
from libs.common.observability import metrics
from libs.common.rpc.auth import require_operator
from services.gateway.http import errors

MAINTENANCE_PATH = "/functions/v1/ip-pool-maintenance"
"""The path that the quick start's cron calls; the services do that work by themselves, so it is rarely needed."""


class InternalRoutes:
    """The routes of the internal port."""

    def __init__(
        self,
        unready: Callable[[], str],
        *,
        maintain_pool: Callable[[str], Awaitable[Mapping[str, Any]]],
        maintain_log: Callable[[], Awaitable[int]],
        operator_token: str,
    ) -> None:
        """Serves probes and operators.

        `unready` returns why the gateway is not ready; empty while it is. `maintain_pool` is called with
        the Authorization header of the operator, `maintain_log` returns how many old clicks it deleted; both need
        `operator_token`, unless that is empty.
        """
        self._unready = unready
        self._maintain_pool = maintain_pool
        self._maintain_log = maintain_log
        self._token = operator_token

    def application(self) -> web.Application:
        """Returns the routes."""
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_post(MAINTENANCE_PATH, self._maintain)
        return application

    async def _metrics(self, request: web.Request) -> web.Response:
        # In a thread: with hundreds of offers it takes tens of milliseconds, and clicks are not to wait for it.
        body, content_type = await asyncio.to_thread(metrics.page, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type, "Server": errors.SERVER})

    async def _healthz(self, _request: web.Request) -> web.Response:
        return errors.plain(HTTPStatus.OK)

    async def _readyz(self, _request: web.Request) -> web.Response:
        if reason := self._unready():
            return errors.plain(HTTPStatus.SERVICE_UNAVAILABLE, f"not ready: {reason}")
        return errors.plain(HTTPStatus.OK)

    async def _maintain(self, request: web.Request) -> web.Response:
        authorization = request.headers.get("Authorization", "")
        try:
            require_operator(_Shown(authorization), self._token)
            done = await self._maintain_pool(authorization)
            deleted_clicks = await self._maintain_log()
        except ClicktraceError as error:
            return errors.for_operator(error)
        text = json.dumps({**done, "deleted_clicks": deleted_clicks})
        return web.json_response(text=f"{text}\n", headers=errors.HEADERS)


class _Shown:
    """The Authorization header of a request, in the form in which gRPC calls carry it."""

    def __init__(self, authorization: str) -> None:
        self._authorization = authorization

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        """Returns the header, if there is one."""
        return [("authorization", self._authorization)] if self._authorization else []
