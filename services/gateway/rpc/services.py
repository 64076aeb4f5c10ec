"""The gRPC services of the gateway, as a server takes them."""

from clicktrace.gateway.v1 import gateway_pb2_grpc as grpc
from libs.common.rpc.server import Service
from services.gateway.rpc.click_log import ClickLog
from services.gateway.rpc.offer_admin import OfferAdmin
from services.gateway.rpc.webhook_admin import WebhookAdmin


def services(offers: OfferAdmin, clicks: ClickLog, webhooks: WebhookAdmin, *, read_token: str) -> list[Service]:
    """Returns the services, all of them for operators; `read_token` is what even a call that only reads must carry."""
    return [
        Service(f"clicktrace.gateway.v1.{name}", register, read_token, for_operators=True)
        for name, register in (
            ("OfferAdmin", lambda server: grpc.add_OfferAdminServicer_to_server(offers, server)),
            ("ClickLog", lambda server: grpc.add_ClickLogServicer_to_server(clicks, server)),
            ("WebhookAdmin", lambda server: grpc.add_WebhookAdminServicer_to_server(webhooks, server)),
        )
    ]
