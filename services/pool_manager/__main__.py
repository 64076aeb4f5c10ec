"""`python -m services.pool_manager [serve|migrate]`."""

import sys

from services.pool_manager.main import main

sys.exit(main(sys.argv[1:]))
