"""What PostgreSQL tells gateways: an offer has changed, a click was written."""

from collections.abc import Awaitable, Callable

from libs.common.errors import ClicktraceError
from libs.common.postgres.listen import Notification, follow
from libs.common.process import logs

log = logs.get(__name__)

_OFFERS, _WRITTEN = "clicks_offers", "clicks_written"


async def follow_changes(
    url: str,
    *,
    on_offer: Callable[[str], Awaitable[None]],
    on_offers: Callable[[], Awaitable[None]],
    on_written: Callable[[str], None],
) -> None:
    """Reports changes for ever: an offer by its name, all offers where news may have been missed, a click by its id."""

    async def handle(notification: Notification) -> None:
        try:
            if notification.channel == _WRITTEN:
                for click_id in notification.payload.split(","):
                    on_written(click_id)
            elif notification.channel == _OFFERS:
                await on_offer(notification.payload)
            else:
                await on_offers()
        except ClicktraceError as error:
            # The connection that brought this is alive, so the next notification will find the database again.
            log.warning("offers.reload_failed", reason=error.reason)

    await follow(url, [_OFFERS, _WRITTEN], handle, application_name="clicktrace-gateway")
