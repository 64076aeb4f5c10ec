"""Fills the pool with the demo proxies and creates the demo offers, over gRPC as an operator would."""

import grpc
from grpc import aio

from clicktrace.common.v1 import common_pb2
from clicktrace.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from clicktrace.pool.v1 import pool_pb2, pool_pb2_grpc
from libs.common.rpc import tls
from libs.common.rpc.client import channel
from libs.common.rpc.status import from_rpc_error
from local.demo.addresses import proxy_address
from local.demo.credentials import PROVIDER
from local.demo.names import OFFERS, tracking_url
from local.errors import LocalError

_COUNTRIES = ("us", "gb", "ca", "au", "de")
_TIMEOUT = 10.0
_Metadata = tuple[tuple[str, str], ...]


async def provision_proxies(
    pool: str, *, count: int, port: int, token: str = "", files: tls.Files | None = None
) -> str:
    """Puts demo proxies 1 to `count` into the pool at `host:port`, and prints what changed. Idempotent."""
    specs = [
        pool_pb2.ProxySpec(
            ip_address=proxy_address(index),
            ip_port=port,
            country=_COUNTRIES[(index - 1) % len(_COUNTRIES)],
            provider=PROVIDER,
            protocol=common_pb2.HTTP,
        )
        for index in range(1, count + 1)
    ]
    async with channel(pool, files=files) as open_channel:
        stub = pool_pb2_grpc.PoolAdminStub(open_channel)
        try:
            request = pool_pb2.ProvisionProxiesRequest(proxies=specs)
            done = await stub.ProvisionProxies(
                request, timeout=_TIMEOUT, wait_for_ready=True, metadata=_operator(token)
            )
        except aio.AioRpcError as error:
            raise LocalError(f"the demo proxies were refused: {from_rpc_error(error)}") from error
    return f"{done.created} new, {done.updated} changed, {done.unchanged} as before"


async def retire_proxies(pool: str, *, first: int, last: int, token: str = "", files: tls.Files | None = None) -> bool:
    """Takes demo proxies `first` to `last` out of the pool; False if the pool manager cannot do that yet."""
    async with channel(pool, files=files) as open_channel:
        stub = pool_pb2_grpc.PoolAdminStub(open_channel)
        try:
            for index in range(first, last + 1):
                which = pool_pb2.ProxyFilter(ip_address=proxy_address(index), provider=PROVIDER)
                request = pool_pb2.DeleteProxiesRequest(filter=which, revoke_leases=True)
                await stub.DeleteProxies(request, timeout=_TIMEOUT, metadata=_operator(token))
        except aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                return False
            raise LocalError(f"surplus demo proxies stay in the pool: {from_rpc_error(error)}") from error
    return True


async def create_offers(gateway: str, *, demo_port: int, token: str = "", files: tls.Files | None = None) -> str:
    """Creates the demo offers at `host:port`, and says which are new; one that exists with the same URL is left alone.

    They name no `max_wait`, so that the setting of the gateway rules.
    """
    created: list[str] = []
    async with channel(gateway, files=files) as open_channel:
        stub = gateway_pb2_grpc.OfferAdminStub(open_channel)
        for name in OFFERS:
            url = tracking_url(name, demo_port)
            try:
                if await _create(stub, gateway_pb2.Offer(name=name, tracking_url=url), _operator(token)):
                    created.append(name)
            except aio.AioRpcError as error:
                raise LocalError(f"the offer {name} was refused: {from_rpc_error(error)}") from error
    return f"new: {', '.join(created)}" if created else "as before"


async def _create(stub: "gateway_pb2_grpc.OfferAdminAsyncStub", offer: gateway_pb2.Offer, operator: _Metadata) -> bool:
    """Creates an offer; False if it is there already and leads to the same place."""
    try:
        request = gateway_pb2.CreateOfferRequest(offer=offer)
        await stub.CreateOffer(request, timeout=_TIMEOUT, wait_for_ready=True, metadata=operator)
    except aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.ALREADY_EXISTS:
            raise
    else:
        return True
    wanted = gateway_pb2.GetOfferRequest(name=offer.name)
    known = (await stub.GetOffer(wanted, timeout=_TIMEOUT, metadata=operator)).offer
    if known.tracking_url != offer.tracking_url:
        raise LocalError(
            f"the offer {offer.name} leads to {known.tracking_url} since an earlier run: use that port (--demo-port),"
            " or another --state-dir"
        )
    return False


def _operator(token: str) -> _Metadata:
    return (("authorization", f"Bearer {token}"),) if token else ()
