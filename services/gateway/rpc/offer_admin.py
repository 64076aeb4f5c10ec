"""OfferAdmin over gRPC: checks, creates, changes, lists and deletes offers."""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from clicktrace.gateway.v1 import gateway_pb2 as pb
from clicktrace.gateway.v1 import gateway_pb2_grpc
from libs.common.errors import ClicktraceError, Code, Violation, invalid_request
from libs.common.process import logs
from libs.common.rpc import times
from libs.common.rpc.auth import Called, HasMetadata, actor, require_operator
from libs.common.validation.countries import country_violation
from services.gateway.model import ERROR_STATUS, JOIN_WINDOW_SECONDS, MAX_WAIT_SECONDS, WEIGHT, Offer
from services.gateway.offers.stored import StoredOffer, UnreadableOffer, unknown_offer, unreadable_offer
from services.gateway.rpc import codec
from services.gateway.rpc.checks import Check, page_size

log = logs.get(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NAME_RULE = 'must be 1 to 64 of a-z, A-Z, 0-9, ".", "_", "-", beginning with a letter or digit'
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*")
_MAX_STATUSES = 50
_UNCHANGEABLE = ("name", "create_time", "update_time", "etag")


class OfferStore(Protocol):
    """Stores offers."""

    async def get(self, name: str) -> StoredOffer | None:
        """Returns an offer, even a disabled one; None if there is none."""
        ...

    async def page(self, after: str, size: int) -> Sequence[StoredOffer]:
        """Returns up to `size` offers whose names come after `after`, by name."""
        ...

    async def insert(self, offer: Offer) -> Offer:
        """Adds an offer and returns it with its times and etag. Raises ALREADY_EXISTS/OFFER_EXISTS."""
        ...

    async def change(self, name: str, fields: Collection[str], change: Callable[[Offer], Offer]) -> Offer:
        """Writes `fields` of what `change` returns for the stored offer, and leaves all others.

        Raises NOT_FOUND/UNKNOWN_OFFER, and FAILED_PRECONDITION/OFFER_UNREADABLE if a field that stays cannot be read.
        """
        ...

    async def delete(self, name: str) -> None:
        """Deletes an offer. Raises NOT_FOUND/UNKNOWN_OFFER."""
        ...


class Cache(Protocol):
    """Holds the offers that clicks see."""

    async def reload(self, name: str) -> None:
        """Reads one offer from the store."""
        ...


class OfferAdmin(gateway_pb2_grpc.OfferAdminServicer):
    """Implements `clicktrace.gateway.v1.OfferAdmin`."""

    def __init__(
        self, offers: OfferStore, cache: Cache, *, operator_token: str, max_wait: float, webhooks: bool
    ) -> None:
        """Changes need `operator_token` (none if empty); `max_wait` is the gateway's default, in seconds.

        `webhooks` says whether this gateway can sign webhooks; if it cannot, offers may not have any.
        """
        self._offers = offers
        self._cache = cache
        self._token = operator_token
        self._max_wait = max_wait
        self._webhooks = webhooks

    async def CreateOffer(self, request: pb.CreateOfferRequest, context: Called) -> pb.CreateOfferResponse:
        """Creates an offer; clicks through this gateway see it when the call returns, through others a moment later."""
        require_operator(context, self._token)
        offer = await self._offers.insert(self._checked(request.offer))
        log.info("offer.changed", actor=actor(context), action="create", offer=offer.name)
        await self._cache.reload(offer.name)
        return pb.CreateOfferResponse(offer=self._message(offer))

    async def GetOffer(self, request: pb.GetOfferRequest, _context: HasMetadata) -> pb.GetOfferResponse:
        """Returns one offer."""
        offer = await self._offers.get(_named(request.name))
        if offer is None:
            raise unknown_offer(request.name)
        if isinstance(offer, UnreadableOffer):
            raise unreadable_offer(offer)
        return pb.GetOfferResponse(offer=self._message(offer))

    async def ListOffers(self, request: pb.ListOffersRequest, _context: HasMetadata) -> pb.ListOffersResponse:
        """Lists offers by name; the page token is the name of the last offer of the previous page."""
        size = page_size(request.page_size)
        if request.page_token:
            _named(request.page_token, "page_token")
        offers = await self._offers.page(request.page_token, size + 1)
        shown = offers[:size]
        return pb.ListOffersResponse(
            offers=[self._message(offer) for offer in shown if not isinstance(offer, UnreadableOffer)],
            unreadable_offers=[offer.name for offer in shown if isinstance(offer, UnreadableOffer)],
            next_page_token=shown[-1].name if len(offers) > size else "",
        )

    async def UpdateOffer(self, request: pb.UpdateOfferRequest, context: Called) -> pb.UpdateOfferResponse:
        """Changes the fields of an offer that the mask names; clicks that run keep the offer they began with."""
        require_operator(context, self._token)
        name = _named(request.offer.name, "offer.name")
        paths = _mask(request)

        def change(offer: Offer) -> Offer:
            if request.offer.etag not in ("", offer.etag):
                raise ClicktraceError(
                    Code.ABORTED,
                    "ETAG_MISMATCH",
                    f"the offer {name!r} has changed since it was read; read it again and repeat the change",
                )
            message = codec.stored_offer_message(offer)
            for path in paths:
                message.ClearField(path)
            message.MergeFrom(_only(request.offer, paths))
            return self._checked(message)

        offer = await self._offers.change(name, paths, change)
        log.info("offer.changed", actor=actor(context), action="update", offer=name, fields=sorted(paths))
        await self._cache.reload(name)
        return pb.UpdateOfferResponse(offer=self._message(offer))

    async def DeleteOffer(self, request: pb.DeleteOfferRequest, context: Called) -> pb.DeleteOfferResponse:
        """Deletes an offer."""
        require_operator(context, self._token)
        await self._offers.delete(_named(request.name))
        log.info("offer.changed", actor=actor(context), action="delete", offer=request.name)
        await self._cache.reload(request.name)
        return pb.DeleteOfferResponse()

    def _checked(self, message: pb.Offer) -> Offer:
        """Reads an offer. Raises INVALID_ARGUMENT/INVALID_REQUEST that names every violation."""
        _check_offer(message, webhooks=self._webhooks)
        return codec.read_offer(message)

    def _message(self, offer: Offer) -> pb.Offer:
        return codec.offer_message(offer, default_max_wait=self._max_wait)


def _check_offer(message: pb.Offer, *, webhooks: bool) -> None:
    """Raises INVALID_ARGUMENT/INVALID_REQUEST that names every violation of the rules in the proto."""
    check = Check()
    check.that(bool(_NAME.fullmatch(message.name)), "name", _NAME_RULE)
    check.url("tracking_url", message.tracking_url, message.identity_params)
    if message.fallback_url:
        check.url("fallback_url", message.fallback_url, message.identity_params)
    if message.webhook_url:
        check.that(webhooks, "webhook_url", "cannot be signed: set GATEWAY_WEBHOOK_SECRET")
        check.plain_url("webhook_url", message.webhook_url)
    if message.country and (violation := country_violation(message.country.lower())):
        check.violation("country", violation)
    if message.HasField("max_wait"):
        check.duration("max_wait", times.to_seconds(message.max_wait), *MAX_WAIT_SECONDS)
    if message.HasField("join_window"):
        check.duration("join_window", times.to_seconds(message.join_window), *JOIN_WINDOW_SECONDS)
    check.names("allow_params", message.allow_params)
    check.names("deny_params", message.deny_params)
    check.names("identity_params", message.identity_params)
    check.that("offer" not in message.identity_params, "identity_params", "must not name `offer`: it is not passed on")
    check.names("rename_params.from", [getattr(rename, "from") for rename in message.rename_params])
    check.names("rename_params.to", [rename.to for rename in message.rename_params])
    for number, host in enumerate(message.landing_hosts):
        check.that(bool(_HOST.fullmatch(host)), f"landing_hosts[{number}]", "must be a host name")
    check.that(len(message.landing_statuses) <= _MAX_STATUSES, "landing_statuses", f"must be at most {_MAX_STATUSES}")
    least, most = ERROR_STATUS
    for number, status in enumerate(message.landing_statuses[:_MAX_STATUSES]):
        check.that(least <= status <= most, f"landing_statuses[{number}]", f"must be {least} to {most}")
    least, most = WEIGHT
    check.that(message.weight == 0 or least <= message.weight <= most, "weight", f"must be {least} to {most}")
    for field in message.DESCRIPTOR.fields:
        if field.enum_type:
            values = {value.name: value.number for value in field.enum_type.values}
            check.enum(field.name, values, getattr(message, field.name))
    check.finish()


def _mask(request: pb.UpdateOfferRequest) -> Sequence[str]:
    """Returns the names of the fields to change.

    Raises INVALID_ARGUMENT/INVALID_REQUEST that names every path that is no field, or that the server sets.
    """
    paths = list(request.update_mask.paths) or [
        field.name for field, _ in request.offer.ListFields() if field.name not in _UNCHANGEABLE
    ]
    known = pb.Offer.DESCRIPTOR.fields_by_name
    if paths == ["*"]:
        # AIP-134: the whole resource is replaced.
        return [name for name in known if name not in _UNCHANGEABLE]
    check = Check()
    for path in paths:
        check.that(path in known, "update_mask", f"has {path!r}, which is no field of an offer")
        check.that(path not in _UNCHANGEABLE, "update_mask", f"has {path!r}, which cannot be changed")
    check.finish()
    return paths


def _only(offer: pb.Offer, paths: Sequence[str]) -> pb.Offer:
    """Returns a copy of an offer with no fields but those of a mask."""
    kept = pb.Offer()
    kept.CopyFrom(offer)
    for field, _ in offer.ListFields():
        if field.name not in paths:
            kept.ClearField(field.name)
    return kept


def _named(name: str, field: str = "name") -> str:
    if not _NAME.fullmatch(name):
        raise invalid_request([Violation(field, "must be the name of an offer")])
    return name
