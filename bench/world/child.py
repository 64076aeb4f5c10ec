"""Runs a module as `python -m` does, in a process that ends with its parent.

It is used as `python -m bench.world.child MODULE ARGUMENTS`. The parent speaks gRPC and so must not run code of its own
in a forked child, which is how that is usually arranged.
"""

import runpy
import signal
import sys

from local.parent import stop_with_parent

if __name__ == "__main__":
    stop_with_parent(signal.SIGKILL)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
