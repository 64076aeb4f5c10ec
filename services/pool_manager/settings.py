"""The settings of the pool manager."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, HttpUrl, SecretStr
from pydantic_settings import NoDecode, SettingsConfigDict

from libs.common.process.settings import DatabaseSettings, OperatorSettings, ServerSettings, Settings
from libs.common.process.values import (
    Address,
    CommaList,
    PeerName,
    Seconds,
    Spans,
    Target,
    Unit,
    Written,
    bad_part,
    named,
)
from libs.common.validation.countries import COUNTRIES
from services.pool_manager.model.leases import CooldownPolicy


def _positive(text: str) -> float:
    number = float(text)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{text!r} is not a number above 0")
    return number


def _host(text: str) -> str:
    if not text.strip():
        raise ValueError("a host is missing")
    return text.strip().lower()


def _fallbacks(value: object) -> object:
    """Reads `gb>ie>fr,us>ca`; for anything else an error that quotes the first wrong part."""
    if not isinstance(value, str):
        return value
    orders: dict[str, tuple[str, ...]] = {}
    for part in filter(None, map(str.strip, value.lower().split(","))):
        first, *others = (code.strip() for code in part.split(">"))
        if not others or not {first, *others} <= COUNTRIES or first in orders or first in others:
            raise bad_part(part)
        orders[first] = tuple(others)
    return orders


_Numbers = Annotated[Mapping[str, float], NoDecode, BeforeValidator(named(_positive))]
_Hosts = Annotated[Mapping[str, str], NoDecode, BeforeValidator(named(_host))]
_Fallbacks = Annotated[Mapping[str, tuple[str, ...]], NoDecode, BeforeValidator(_fallbacks)]


class PoolSettings(DatabaseSettings, OperatorSettings, ServerSettings):
    """What an operator may choose for the pool manager."""

    model_config = SettingsConfigDict(env_prefix="POOL_")

    listen: Address = Address("127.0.0.1", 50051)
    """Address of the gRPC server."""
    admin_listen: Address | None = None
    """Address where `PoolAdmin` and reflection are served instead, apart from the address that gateways use."""
    metrics_listen: Address | None = None
    """Address where Prometheus reads the metrics over HTTP; not served if unset."""
    gateway_identities: CommaList = Field(("gateway",), min_length=1)
    """Names (DNS or URI) in the certificates of gateways: they may lease, and read the state of the pool."""
    reflection: bool = True
    """Whether gRPC reflection is served, for tools such as grpcurl."""
    cooldown: Seconds = Field(60.0, ge=0, le=86_400)
    """Cooldown of an IP after a lease; a cooldown of its own or of its provider goes first."""
    failure_limit: Annotated[int, Unit("failures")] = Field(3, ge=1, le=1000)
    """Number of `PROXY_FAILURE` outcomes in a row after which an IP is quarantined."""
    max_waiting: Annotated[int, Unit("requests")] = Field(1000, ge=0, le=100_000)
    """How many may wait for an IP of one country at this replica; the next ones are refused at once."""
    probe_pause: Seconds = Field(60.0, ge=0, le=3600)
    """Pause before a quarantined IP is probed for the first time; it doubles with every failure, up to 1 h."""
    probe_url: HttpUrl | None = None
    """What is fetched through a quarantined IP; it answers with the address it sees, as text or JSON. Without
    one, only an operator brings an IP back."""
    retention: Seconds = Field(30 * 86_400.0, ge=0, le=3650 * 86_400)
    """How long the history of leases, the statistics and the audit record are kept."""
    provider_cooldowns: Spans = {}  # noqa: RUF012 - pydantic copies it
    """Cooldown of the IPs of a provider."""
    provider_prices: Annotated[_Numbers, Written("names with numbers above 0 such as luna=0.001,other=2")] = {}  # noqa: RUF012 - pydantic copies it
    """What a lease costs at a provider, for the estimated cost in the statistics."""
    offer_weights: Annotated[_Numbers, Written("names with numbers above 0 such as summer=2,winter=0.5")] = {}  # noqa: RUF012 - pydantic copies it
    """Weight of an offer compared with others, 1 if not named: 2 gives twice the share, and twice the turns while it
    waits."""
    reserve: Annotated[float, Unit("part of the IPs")] = Field(0.1, ge=0, le=0.9)
    """Part of a country's IPs that is kept for offers below their share, where several offers want them; 0 switches
    shares off."""
    country_fallbacks: Annotated[_Fallbacks, Written("codes of ISO 3166-1 such as gb>ie>fr,us>ca")] = {}  # noqa: RUF012 - pydantic copies it
    """Where an IP is taken from if a country has none free."""
    reusing_offers: CommaList = ()
    """Offers that may have an IP again at once where they had it last, without a cooldown."""
    offer_hosts: Annotated[_Hosts, Written("names with hosts such as summer=ads.example,winter=ads.example")] = {}  # noqa: RUF012 - pydantic copies it
    """Offers whose cooldowns apply to offers of the same host only; to all offers that are not named here they apply
    in full."""
    credentials_dir: Path | None = None
    """Directory of `PROVIDER.toml` files with `username`, `password` and `profile` or `username_template`."""
    profiles_dir: Path | None = None
    """Directory of profiles of providers, `NAME.toml`, which win over the shipped ones of the same name."""
    drain_delay: Seconds = Field(0.0, ge=0, le=600)
    """Time for clients to turn away, after health reports NOT_SERVING and before calls are refused."""
    grace: Seconds = Field(10.0, ge=0, le=3600)
    """Time for running calls to finish at the end."""

    @property
    def cooldown_policies(self) -> Mapping[str, CooldownPolicy]:
        """The cooldown policies of the offers that have their own."""
        return {
            offer: CooldownPolicy(self.offer_hosts.get(offer, ""), offer in self.reusing_offers)
            for offer in {*self.reusing_offers, *self.offer_hosts}
        }


class ProvisionSettings(Settings):
    """What an operator may choose for `python -m services.pool_manager provision`, which fills a running pool."""

    model_config = SettingsConfigDict(env_prefix="POOL_")

    target: Target = "dns:///127.0.0.1:50051"
    """The pool manager to fill."""
    operator_token: SecretStr = SecretStr("")
    """The operator token of the pool manager, if it wants one."""
    tls_dir: Path | None = None
    """Directory with the operator's `tls.crt`, `tls.key` and `ca.crt`, if the pool manager wants TLS."""
    identity: PeerName = "pool-manager"
    """DNS name that the certificate of the pool manager must have; if empty, the one in the target."""
