"""Starts a service: chooses the command, reads the settings, sets the log up, and reports a failure."""

import importlib
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from libs.common.errors import ClicktraceError
from libs.common.process import lifecycle, logs, settings

log = logs.get(__name__)


def run(
    service: str, settings_class: type[settings.ServiceSettings], commands: Mapping[str, str], arguments: Sequence[str]
) -> int:
    """Runs one command of a service and returns the exit code: 0, 1 for a failure, 2 for wrong usage or settings.

    `commands` names for each command, the default first, the function that runs it (`package.module:function`). It is
    given the settings and an event that SIGTERM and SIGINT set. It is imported once the settings have been read: who
    misspells a setting is told before a second of imports, and who migrates loads no server.
    """
    name, *rest = arguments or list(commands)[:1]
    if name not in commands or rest:
        print(f"usage: python -m services.{service} [{' | '.join(commands)}]", file=sys.stderr)
        return 2
    config = settings.load(settings_class)
    logs.setup(service, config.log_format, config.log_level)
    for variable, replacement in settings.retired(settings_class):
        log.warning("setting.retired", variable=variable, replacement=replacement)
    module, _, function = commands[name].partition(":")
    command: Callable[[Any, Any], Awaitable[None]] = getattr(importlib.import_module(module), function)
    try:
        lifecycle.run(lambda stop: command(config, stop))
    except (OSError, ClicktraceError) as error:
        log.error("process.failed", command=name, error=type(error).__name__, detail=str(error))  # noqa: TRY400 - not a bug
        return 1
    return 0
