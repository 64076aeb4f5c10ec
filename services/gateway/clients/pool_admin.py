"""Calls PoolAdmin on behalf of an operator."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict
from grpc import aio

from clicktrace.pool.v1 import pool_pb2 as pb
from clicktrace.pool.v1 import pool_pb2_grpc
from libs.common.rpc import status

_TIMEOUT_SECONDS = 30.0


async def run_maintenance(channel: aio.Channel, authorization: str) -> Mapping[str, Any]:
    """Runs the maintenance of the pool and returns the fields of the response. Raises as RunMaintenance does.

    `authorization` is the header of the operator as it came: the pool manager decides for itself whom it believes.
    """
    metadata = (("authorization", authorization),) if authorization else ()
    stub: Any = pool_pb2_grpc.PoolAdminStub(channel)
    try:
        done = await stub.RunMaintenance(pb.RunMaintenanceRequest(), timeout=_TIMEOUT_SECONDS, metadata=metadata)
    except aio.AioRpcError as error:
        raise status.from_rpc_error(error) from None
    return MessageToDict(done, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
