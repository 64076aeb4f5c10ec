"""Runs everything on this machine: `python -m local`, which is what `make run` does."""

import signal
import sys

if __name__ == "__main__":
    # Until the run handles it, Ctrl-C is to end it without a traceback from amid the imports.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from local.run.cli import main

    sys.exit(main(sys.argv[1:]))
