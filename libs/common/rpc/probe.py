"""Asks one of our servers for its health: `python -m libs.common.rpc.probe HOST:PORT [liveness|readiness]`.

For containers without a shell, where nothing else can ask. Kubernetes asks by itself (native gRPC probes).
"""

import sys
from collections.abc import Sequence
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from libs.common.enums import name_of
from libs.common.rpc.health import READINESS

_SECONDS = 2.0


def main(arguments: Sequence[str]) -> int:
    """Returns 0 if the server serves, 1 with a line on standard error if not, 2 if it was asked wrongly."""
    if len(arguments) not in {1, 2} or arguments[0].startswith("-"):
        print("usage: python -m libs.common.rpc.probe HOST:PORT [liveness|readiness]", file=sys.stderr)
        return 2
    service = arguments[1] if len(arguments) == 2 else READINESS
    with grpc.insecure_channel(arguments[0]) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=_SECONDS)
        except grpc.RpcError as error:
            print(f"{arguments[0]} does not answer: {error.code().name}", file=sys.stderr)
            return 1
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return 0
    name = name_of(health_pb2.HealthCheckResponse.ServingStatus.DESCRIPTOR, answer.status) or "UNKNOWN"
    print(f"{service} of {arguments[0]} is {name}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
