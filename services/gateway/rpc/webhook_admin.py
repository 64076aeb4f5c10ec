"""WebhookAdmin over gRPC: what was not delivered, and trying it again."""

import re
from collections.abc import Sequence
from typing import Protocol

from clicktrace.gateway.v1 import gateway_pb2 as pb
from clicktrace.gateway.v1 import gateway_pb2_grpc
from libs.common.process import logs
from libs.common.rpc import times
from libs.common.rpc.auth import Called, HasMetadata, actor, require_operator
from services.gateway.model import Undelivered
from services.gateway.rpc.checks import Check
from services.gateway.rpc.offer_admin import page_size

log = logs.get(__name__)

_CLICK_ID = re.compile(r"[0-9a-f]{32}")
_MOST_CLICKS = 1_000
_LONGEST_NAME = 64


class Outbox(Protocol):
    """Where webhooks wait."""

    async def page(self, offer: str, after: str, size: int, *, dead: bool) -> Sequence[Undelivered]:
        """Returns webhooks by click."""
        ...

    async def retry(self, click_ids: Sequence[str], offer: str) -> int:
        """Makes dead letters due again."""
        ...


class WebhookAdmin(gateway_pb2_grpc.WebhookAdminServicer):
    """Lets operators see what was not delivered, and have it tried again."""

    def __init__(self, outbox: Outbox, *, operator_token: str) -> None:
        """Every call needs `operator_token` (none if empty): the URL of a webhook may hold a secret of its receiver."""
        self._outbox = outbox
        self._token = operator_token

    async def ListWebhooks(self, request: pb.ListWebhooksRequest, context: HasMetadata) -> pb.ListWebhooksResponse:
        """Lists webhooks; the page token is the click of the last one of the page before."""
        require_operator(context, self._token)
        size = page_size(request.page_size)
        check = Check()
        _offer(check, request.offer)
        page_token = request.page_token
        check.that(
            not page_token or bool(_CLICK_ID.fullmatch(page_token)), "page_token", "must be that of the page before"
        )
        check.finish()
        webhooks = await self._outbox.page(request.offer, page_token, size + 1, dead=request.dead)
        shown = webhooks[:size]
        return pb.ListWebhooksResponse(
            webhooks=[_message(webhook) for webhook in shown],
            next_page_token=shown[-1].click_id if len(webhooks) > size else "",
        )

    async def RetryWebhooks(self, request: pb.RetryWebhooksRequest, context: Called) -> pb.RetryWebhooksResponse:
        """Has dead letters tried again."""
        require_operator(context, self._token)
        check = Check()
        _offer(check, request.offer)
        check.that(bool(request.offer or request.click_ids), "click_ids", "must name clicks, or `offer` an offer")
        check.that(len(request.click_ids) <= _MOST_CLICKS, "click_ids", f"must be at most {_MOST_CLICKS}")
        for number, click_id in enumerate(request.click_ids[:_MOST_CLICKS]):
            check.that(bool(_CLICK_ID.fullmatch(click_id)), f"click_ids[{number}]", "must be the id of a click")
        check.finish()
        retried = await self._outbox.retry(request.click_ids, request.offer)
        log.info("webhook.retried", actor=actor(context), offer=request.offer or None, webhooks=retried)
        return pb.RetryWebhooksResponse(retried=retried)


def _offer(check: Check, name: str) -> None:
    check.that(len(name) <= _LONGEST_NAME and name.isprintable(), "offer", "must be the name of an offer")


def _message(webhook: Undelivered) -> pb.Webhook:
    return pb.Webhook(
        click_id=webhook.click_id,
        offer=webhook.offer,
        url=webhook.url,
        attempts=webhook.attempts,
        dead=webhook.dead,
        last_error=webhook.last_error,
        due_time=times.to_timestamp(webhook.due_time),
        create_time=times.to_timestamp(webhook.create_time),
    )
