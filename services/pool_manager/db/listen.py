"""Notifications that an IP came free, on any replica or by any SQL."""

from collections.abc import Callable

from libs.common.postgres.listen import Notification, follow

_CHANNEL = "pool_freed"


async def follow_freed(url: str, on_freed: Callable[[], None]) -> None:
    """Calls `on_freed` whenever an IP came free or a notification may have been missed, until it is cancelled."""

    async def handle(_notification: Notification) -> None:
        on_freed()

    await follow(url, [_CHANNEL], handle, application_name="pool_manager")
