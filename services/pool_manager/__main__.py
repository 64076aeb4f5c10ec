"""Runs the pool manager: `python -m services.pool_manager [serve|migrate|provision FILE [--dry-run]]`."""

import sys

from libs.common.process import commands
from services.pool_manager.settings import PoolSettings

COMMANDS = {"serve": "services.pool_manager.main:serve", "migrate": "services.pool_manager.migrate:apply"}

if __name__ == "__main__":
    if sys.argv[1:2] == ["provision"]:
        # A client's command, with settings of its own.
        from services.pool_manager.cli import main

        sys.exit(main(sys.argv[2:]))
    sys.exit(commands.run("pool_manager", PoolSettings, COMMANDS, sys.argv[1:]))
