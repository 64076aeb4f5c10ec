"""Runs the tracer: `python -m services.tracer`."""

import sys

from libs.common.process import commands
from services.tracer.settings import TracerSettings

COMMANDS = {"serve": "services.tracer.main:serve"}

if __name__ == "__main__":
    sys.exit(commands.run("tracer", TracerSettings, COMMANDS, sys.argv[1:]))
