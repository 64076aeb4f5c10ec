"""What `make run` starts: PostgreSQL, the three services and a demo world of proxies and redirect chains."""

import os

# Children are forked with a `preexec_fn`, and between fork and exec gRPC's own fork handlers would start its threads on
# descriptors that are closed already, which aborts the child (seen once in some hundred starts under load). It reads
# this when it starts, so it stands before anything that could start it.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
