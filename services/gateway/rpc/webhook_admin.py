"""WebhookAdmin over gRPC: lists undelivered late results and retries dead letters."""

from collections.abc import Sequence
from typing import Protocol

from clicktrace.gateway.v1 import gateway_pb2 as pb
from clicktrace.gateway.v1 import gateway_pb2_grpc
from libs.common.process import logs
from libs.common.rpc.auth import Called, HasMetadata, actor, require_operator
from services.gateway.model import Undelivered
from services.gateway.rpc import codec
from services.gateway.rpc.checks import Check, is_click_id, page_size

log = logs.get(__name__)

_MAX_CLICKS = 1_000


class Queue(Protocol):
    """Holds the deliveries that their receivers have not taken."""

    async def page(self, offer: str, after: str, size: int, *, dead: bool) -> Sequence[Undelivered]:
        """Returns up to `size` deliveries after the click `after`, by click id."""
        ...

    async def retry(self, click_ids: Sequence[str], offer: str) -> int:
        """Makes dead letters due now; returns how many."""
        ...


class WebhookAdmin(gateway_pb2_grpc.WebhookAdminServicer):
    """Implements `clicktrace.gateway.v1.WebhookAdmin`."""

    def __init__(self, queue: Queue, *, operator_token: str) -> None:
        """Every call needs `operator_token` (none if empty): a webhook URL may hold a secret of its receiver."""
        self._queue = queue
        self._token = operator_token

    async def ListWebhooks(self, request: pb.ListWebhooksRequest, context: HasMetadata) -> pb.ListWebhooksResponse:
        """Lists deliveries; the page token is the click id of the last one of the previous page."""
        require_operator(context, self._token)
        size = page_size(request.page_size)
        check = Check()
        check.offer_filter("offer", request.offer)
        check.click_page_token(request.page_token)
        check.finish()
        webhooks = await self._queue.page(request.offer, request.page_token, size + 1, dead=request.dead)
        shown = webhooks[:size]
        return pb.ListWebhooksResponse(
            webhooks=[codec.webhook_message(webhook) for webhook in shown],
            next_page_token=shown[-1].click_id if len(webhooks) > size else "",
        )

    async def RetryWebhooks(self, request: pb.RetryWebhooksRequest, context: Called) -> pb.RetryWebhooksResponse:
        """Makes dead letters due now."""
        require_operator(context, self._token)
        check = Check()
        check.offer_filter("offer", request.offer)
        check.that(bool(request.offer or request.click_ids), "click_ids", "must name clicks, or `offer` an offer")
        check.that(len(request.click_ids) <= _MAX_CLICKS, "click_ids", f"must be at most {_MAX_CLICKS}")
        for number, click_id in enumerate(request.click_ids[:_MAX_CLICKS]):
            check.that(is_click_id(click_id), f"click_ids[{number}]", "must be the id of a click")
        check.finish()
        retried = await self._queue.retry(request.click_ids, request.offer)
        log.info("webhook.retried", actor=actor(context), offer=request.offer or None, webhooks=retried)
        return pb.RetryWebhooksResponse(retried=retried)
