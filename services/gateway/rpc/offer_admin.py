"""OfferAdmin over gRPC: requests are checked whole, and all their faults are reported at once."""

import re
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from clicktrace.gateway.v1 import gateway_pb2 as pb
from clicktrace.gateway.v1 import gateway_pb2_grpc
from libs.common.errors import Violation, invalid_request
from libs.common.process import logs
from libs.common.rpc import times
from libs.common.rpc.auth import Called, HasMetadata, actor, require_operator
from libs.common.validation.countries import country_fault
from services.gateway.model import FallbackPolicy, MergePolicy, Mode, Offer, Rename, UserAgentPolicy
from services.gateway.offers.cache import unknown_offer
from services.gateway.rpc.checks import Check

log = logs.get(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NAME_RULE = 'must be 1 to 64 of a-z, A-Z, 0-9, ".", "_", "-", beginning with a letter or digit'
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*")
_ENUMS = {
    "mode": pb.Mode,
    "merge_policy": pb.MergePolicy,
    "fallback_policy": pb.FallbackPolicy,
    "user_agent_policy": pb.UserAgentPolicy,
}
_UNCHANGEABLE = ("name", "create_time", "update_time")
_MAX_WAIT = (0.1, 60.0)
_JOIN_WINDOW = (0.0, 86_400.0)
_JOIN_WINDOW_DEFAULT = 3_600.0
_WEIGHT = (1, 1_000)
_PAGE, _LARGEST_PAGE = 100, 1_000


class Offers(Protocol):
    """Where offers are kept."""

    async def get(self, name: str) -> Offer | None:
        """Returns an offer, also a disabled one."""
        ...

    async def page(self, after: str, size: int) -> Sequence[Offer]:
        """Returns offers by name."""
        ...

    async def insert(self, offer: Offer) -> Offer:
        """Adds an offer."""
        ...

    async def change(self, name: str, change: Callable[[Offer], Offer]) -> Offer:
        """Replaces an offer by what `change` makes of it."""
        ...

    async def delete(self, name: str) -> None:
        """Takes an offer away."""
        ...


class Book(Protocol):
    """The offers that clicks see."""

    async def reload(self, name: str) -> None:
        """Reads one offer anew."""
        ...


class OfferAdmin(gateway_pb2_grpc.OfferAdminServicer):
    """Lets operators create and change offers."""

    def __init__(self, offers: Offers, book: Book, *, operator_token: str, max_wait: float, webhooks: bool) -> None:
        """Changes need `operator_token` (none if empty); `max_wait` is what an offer without one shows.

        `webhooks` says whether this gateway can sign webhooks; if it cannot, offers may not have any.
        """
        self._offers = offers
        self._book = book
        self._token = operator_token
        self._max_wait = max_wait
        self._webhooks = webhooks

    async def CreateOffer(self, request: pb.CreateOfferRequest, context: Called) -> pb.CreateOfferResponse:
        """Creates an offer; clicks through this gateway see it when the call returns, through others a moment later."""
        require_operator(context, self._token)
        offer = await self._offers.insert(self._read(request.offer))
        log.info("offer.changed", actor=actor(context), action="create", offer=offer.name)
        await self._book.reload(offer.name)
        return pb.CreateOfferResponse(offer=self._message(offer))

    async def GetOffer(self, request: pb.GetOfferRequest, _context: HasMetadata) -> pb.GetOfferResponse:
        """Returns one offer."""
        offer = await self._offers.get(_named(request.name))
        if offer is None:
            raise unknown_offer(request.name)
        return pb.GetOfferResponse(offer=self._message(offer))

    async def ListOffers(self, request: pb.ListOffersRequest, _context: HasMetadata) -> pb.ListOffersResponse:
        """Lists offers by name; the page token is the last name of the page before."""
        size = page_size(request.page_size)
        if request.page_token:
            _named(request.page_token, "page_token")
        offers = await self._offers.page(request.page_token, size + 1)
        shown = offers[:size]
        return pb.ListOffersResponse(
            offers=[self._message(offer) for offer in shown],
            next_page_token=shown[-1].name if len(offers) > size else "",
        )

    async def UpdateOffer(self, request: pb.UpdateOfferRequest, context: Called) -> pb.UpdateOfferResponse:
        """Changes the fields of an offer that the mask names; clicks that run keep the offer they began with."""
        require_operator(context, self._token)
        name = _named(request.offer.name, "offer.name")
        paths = _mask(request)

        def change(offer: Offer) -> Offer:
            message = _stored_message(offer)
            for path in paths:
                message.ClearField(path)
            message.MergeFrom(_only(request.offer, paths))
            return self._read(message)

        offer = await self._offers.change(name, change)
        log.info("offer.changed", actor=actor(context), action="update", offer=name, fields=sorted(paths))
        await self._book.reload(name)
        return pb.UpdateOfferResponse(offer=self._message(offer))

    async def DeleteOffer(self, request: pb.DeleteOfferRequest, context: Called) -> pb.DeleteOfferResponse:
        """Deletes an offer."""
        require_operator(context, self._token)
        await self._offers.delete(_named(request.name))
        log.info("offer.changed", actor=actor(context), action="delete", offer=request.name)
        await self._book.reload(request.name)
        return pb.DeleteOfferResponse()

    def _read(self, message: pb.Offer) -> Offer:
        return offer_from(message, webhooks=self._webhooks)

    def _message(self, offer: Offer) -> pb.Offer:
        return offer_message(offer, default_max_wait=self._max_wait)


def page_size(asked: int) -> int:
    """Returns how many entries a page has. INVALID_ARGUMENT outside 0 to 1000."""
    if not 0 <= asked <= _LARGEST_PAGE:
        raise invalid_request([Violation("page_size", f"must be 1 to {_LARGEST_PAGE}, or left out for {_PAGE}")])
    return asked or _PAGE


def offer_from(message: pb.Offer, *, webhooks: bool) -> Offer:
    """Reads an offer. INVALID_ARGUMENT/INVALID_REQUEST names every fault."""
    check = Check()
    max_wait = _span(message, "max_wait")
    join_window = _span(message, "join_window")
    check.that(bool(_NAME.fullmatch(message.name)), "name", _NAME_RULE)
    check.url("tracking_url", message.tracking_url, message.identity_params)
    if message.fallback_url:
        check.url("fallback_url", message.fallback_url, message.identity_params)
    if message.webhook_url:
        check.that(webhooks, "webhook_url", "cannot be signed: set GATEWAY_WEBHOOK_SECRET")
        check.plain_url("webhook_url", message.webhook_url)
    country = message.country.lower()
    if country and (fault := country_fault(country)):
        check.fault("country", fault)
    check.span("max_wait", max_wait, *_MAX_WAIT)
    check.span("join_window", join_window, *_JOIN_WINDOW)
    check.names("allow_params", message.allow_params)
    check.names("deny_params", message.deny_params)
    check.names("identity_params", message.identity_params)
    check.that("offer" not in message.identity_params, "identity_params", "must not name `offer`: it is not passed on")
    renames = [Rename(getattr(rename, "from"), rename.to) for rename in message.rename_params]
    check.names("rename_params.from", [rename.source for rename in renames])
    check.names("rename_params.to", [rename.target for rename in renames])
    for number, host in enumerate(message.landing_hosts):
        check.that(bool(_HOST.fullmatch(host)), f"landing_hosts[{number}]", "must be a host name")
    least, most = _WEIGHT
    check.that(message.weight == 0 or least <= message.weight <= most, "weight", f"must be {least} to {most}")
    for field, values in _ENUMS.items():
        check.that(getattr(message, field) in values.values(), field, "has no such value")
    check.finish()
    return Offer(
        name=message.name,
        tracking_url=message.tracking_url,
        country=country,
        max_wait=max_wait,
        mode=Mode(pb.Mode.Name(message.mode or pb.TRACE)),
        merge_policy=MergePolicy(pb.MergePolicy.Name(message.merge_policy or pb.INBOUND_WINS)),
        allow_params=tuple(message.allow_params),
        deny_params=tuple(message.deny_params),
        rename_params=tuple(renames),
        identity_params=tuple(message.identity_params),
        fallback_url=message.fallback_url,
        fallback_policy=FallbackPolicy(pb.FallbackPolicy.Name(message.fallback_policy or pb.TRACKING_URL)),
        landing_hosts=tuple(message.landing_hosts),
        user_agent_policy=UserAgentPolicy(pb.UserAgentPolicy.Name(message.user_agent_policy or pb.TRACER)),
        allow_app_links=message.allow_app_links,
        weight=message.weight or 1,
        join_window=_JOIN_WINDOW_DEFAULT if join_window is None else join_window,
        webhook_url=message.webhook_url,
        disabled=message.disabled,
    )


def offer_message(offer: Offer, *, default_max_wait: float) -> pb.Offer:
    """Renders an offer, with every default filled in."""
    return pb.Offer(
        name=offer.name,
        tracking_url=offer.tracking_url,
        country=offer.country,
        max_wait=times.to_duration(offer.max_wait or default_max_wait),
        mode=offer.mode,
        merge_policy=offer.merge_policy,
        allow_params=offer.allow_params,
        deny_params=offer.deny_params,
        rename_params=[
            pb.ParameterRename(**{"from": rename.source, "to": rename.target}) for rename in offer.rename_params
        ],
        identity_params=offer.identity_names,
        fallback_url=offer.fallback_url,
        fallback_policy=offer.fallback_policy,
        landing_hosts=offer.landing_hosts,
        user_agent_policy=offer.user_agent_policy,
        allow_app_links=offer.allow_app_links,
        weight=offer.weight,
        join_window=times.to_duration(offer.join_window),
        webhook_url=offer.webhook_url,
        disabled=offer.disabled,
        create_time=times.to_timestamp(offer.create_time) if offer.create_time else None,
        update_time=times.to_timestamp(offer.update_time) if offer.update_time else None,
    )


def _stored_message(offer: Offer) -> pb.Offer:
    """Renders an offer as it is stored: what was left out stays out."""
    message = offer_message(offer, default_max_wait=_MAX_WAIT[0])
    if offer.max_wait is None:
        message.ClearField("max_wait")
    if not offer.identity_params:
        message.ClearField("identity_params")
    return message


def _mask(request: pb.UpdateOfferRequest) -> Sequence[str]:
    """Returns which fields change. INVALID_ARGUMENT names every path that is no field, or is not for callers to set."""
    paths = list(request.update_mask.paths) or [
        field.name for field, _ in request.offer.ListFields() if field.name not in _UNCHANGEABLE
    ]
    known = pb.Offer.DESCRIPTOR.fields_by_name
    if paths == ["*"]:
        # AIP-134: the whole of it is replaced.
        return [name for name in known if name not in _UNCHANGEABLE]
    check = Check()
    for path in paths:
        check.that(path in known, "update_mask", f"has {path!r}, which is no field of an offer")
        check.that(path not in _UNCHANGEABLE, "update_mask", f"has {path!r}, which cannot be changed")
    check.finish()
    return paths


def _only(offer: pb.Offer, paths: Sequence[str]) -> pb.Offer:
    kept = pb.Offer()
    kept.CopyFrom(offer)
    for field, _ in offer.ListFields():
        if field.name not in paths:
            kept.ClearField(field.name)
    return kept


def _span(message: pb.Offer, field: Literal["max_wait", "join_window"]) -> float | None:
    return times.to_seconds(getattr(message, field)) if message.HasField(field) else None


def _named(name: str, field: str = "name") -> str:
    if not _NAME.fullmatch(name):
        raise invalid_request([Violation(field, "must be the name of an offer")])
    return name
