"""Runs the gateway: `python -m services.gateway [serve|migrate]`."""

import sys

from libs.common.process import commands
from services.gateway.settings import GatewaySettings

COMMANDS = {"serve": "services.gateway.main:serve", "migrate": "services.gateway.migrate:apply"}

if __name__ == "__main__":
    sys.exit(commands.run("gateway", GatewaySettings, COMMANDS, sys.argv[1:]))
