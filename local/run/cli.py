"""The command behind `python -m local`: reads the options, runs, and turns failures into one line and an exit code."""

import asyncio
import os
import signal
from collections.abc import Sequence

from local.errors import LocalError
from local.parent import stop_with_parent
from local.run import options
from local.run.console import Console
from local.run.runner import run


def main(arguments: Sequence[str]) -> int:
    """Runs until Ctrl-C and returns the exit code: 0 after an orderly stop, 1 or 2 after a failure."""
    # The children are forked while gRPC runs here, and do nothing but exec: its fork handlers only complain about that.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    chosen = options.parse(arguments)
    console = Console()
    try:
        if chosen.stop_with_parent:
            stop_with_parent(signal.SIGTERM)
        asyncio.run(run(chosen, console))
    except LocalError as error:
        console.failure(str(error))
        return error.exit_code
    return 0
