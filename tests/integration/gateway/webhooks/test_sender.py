"""The sender takes 2xx for an answer, follows no redirect, and says nothing of the URL in an error."""

import pytest

from services.gateway.webhooks.sender import WebhookSender
from tests.integration.gateway.webhooks.receiver import receiver


@pytest.mark.parametrize(
    ("status", "error"), [(200, ""), (204, ""), (302, "HTTP 302"), (410, "HTTP 410"), (503, "HTTP 503")]
)
async def test_a_status_other_than_2xx_is_an_error_and_no_redirect_is_followed(status: int, error: str) -> None:
    async with receiver(status) as hook, WebhookSender() as sender:
        assert await sender.post(hook.url, b"{}", {"X-Test": "1"}) == error
        headers, body = await hook.next()
        assert (headers["x-test"], headers["user-agent"], body) == ("1", "Clicktrace-Webhook/1", b"{}")
        assert hook.got.empty()


async def test_a_receiver_that_is_not_there_is_an_error_without_its_url(unused_tcp_port: int) -> None:
    async with WebhookSender() as sender:
        error = await sender.post(f"http://127.0.0.1:{unused_tcp_port}/secret", b"{}", {})
    assert error == "ClientConnectorError"


async def test_no_proxy_of_the_machine_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with receiver(200) as hook, WebhookSender() as sender:
        assert await sender.post(hook.url, b"{}", {}) == ""


async def test_it_works_only_while_it_is_entered() -> None:
    with pytest.raises(RuntimeError):
        await WebhookSender().post("http://127.0.0.1:1/", b"", {})
