"""What PostgreSQL tells pool managers: an IP came free, on whatever replica or by whatever SQL."""

from collections.abc import Callable

from libs.common.postgres.listen import Notification, follow

_CHANNEL = "pool_freed"


async def follow_freed(url: str, on_freed: Callable[[], None]) -> None:
    """Calls `on_freed` for ever: whenever an IP came free, and where that may have been missed."""

    async def handle(_notification: Notification) -> None:
        on_freed()

    await follow(url, [_CHANNEL], handle, application_name="pool_manager")
