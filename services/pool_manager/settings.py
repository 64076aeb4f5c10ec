"""The settings of the pool manager."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, HttpUrl
from pydantic_settings import NoDecode

from libs.common.process.settings import (
    Address,
    CommaList,
    DatabaseSettings,
    Field,
    OperatorSettings,
    Seconds,
    SecretStr,
    ServerSettings,
    Settings,
    SettingsConfigDict,
    parse_seconds,
)
from libs.common.validation.countries import COUNTRIES
from services.pool_manager.model.leases import CooldownPolicy


def _named(read: Callable[[str], float | str], example: str) -> Callable[[object], object]:
    """Returns a reader of `name=value,name=value`; it raises ValueError for anything else."""

    def parse(value: object) -> object:
        if not isinstance(value, str):
            return value
        named: dict[str, float | str] = {}
        for part in filter(None, map(str.strip, value.split(","))):
            name, separator, text = part.partition("=")
            if not name or not separator or name in named:
                raise ValueError(f"{part!r} is not understood; write {example}")
            named[name] = read(text)
        return named

    return parse


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
    """Reads `gb>ie>fr,us>ca`; ValueError for anything else."""
    if not isinstance(value, str):
        return value
    orders: dict[str, tuple[str, ...]] = {}
    for part in filter(None, map(str.strip, value.lower().split(","))):
        first, *others = (code.strip() for code in part.split(">"))
        if not others or not {first, *others} <= COUNTRIES or first in orders or first in others:
            raise ValueError(f"{part!r} is not understood; write gb>ie>fr,us>ca with codes of ISO 3166-1")
        orders[first] = tuple(others)
    return orders


Spans = Annotated[Mapping[str, float], NoDecode, BeforeValidator(_named(parse_seconds, "luna=30s,other=90s"))]
Numbers = Annotated[Mapping[str, float], NoDecode, BeforeValidator(_named(_positive, "luna=0.001,other=2"))]
Hosts = Annotated[Mapping[str, str], NoDecode, BeforeValidator(_named(_host, "summer=ads.example,winter=ads.example"))]
Fallbacks = Annotated[Mapping[str, tuple[str, ...]], NoDecode, BeforeValidator(_fallbacks)]


class PoolSettings(DatabaseSettings, OperatorSettings, ServerSettings):
    """What the environment says, under the prefix `POOL_`."""

    model_config = SettingsConfigDict(env_prefix="POOL_")

    listen: Address = Address("127.0.0.1", 50051)
    """Where gRPC is served."""
    admin_listen: Address | None = None
    """Where PoolAdmin and reflection are served instead, away from what gateways use."""
    metrics_listen: Address | None = None
    """Where Prometheus finds the metrics over HTTP; nowhere if not set."""
    gateway_identities: CommaList = ("gateway",)
    """The names (DNS or URI) in certificates of gateways: they may lease, and read the state of the pool."""
    reflection: bool = True
    """Whether clients such as grpcurl may ask for the schema."""
    cooldown: Seconds = 60.0
    """How long an IP rests after use, unless it or its provider says otherwise."""
    failure_limit: int = Field(3, ge=1, le=1000)
    """How many PROXY_FAILURE outcomes in a row take an IP out."""
    max_waiting: int = Field(1000, ge=0, le=100_000)
    """How many may wait for an IP of one country at this replica; the next ones are refused at once."""
    probe_pause: Seconds = 60.0
    """The pause before an IP that was taken out is tried for the first time; it doubles with every failure, to 1 h."""
    probe_url: HttpUrl | None = None
    """What is fetched through an IP to try it: answers with the address it sees, as text or JSON. None: no trying."""
    retention: Seconds = 30 * 86_400.0
    """How long the history of leases, the statistics and the audit record are kept."""
    provider_cooldowns: Spans = {}  # noqa: RUF012 - pydantic copies it
    """How long the IPs of a provider rest: `luna=30s,other=90s`."""
    provider_prices: Numbers = {}  # noqa: RUF012 - pydantic copies it
    """What a lease costs at a provider: `luna=0.001`."""
    offer_weights: Numbers = {}  # noqa: RUF012 - pydantic copies it
    """How often an offer is served compared with others while they wait: `summer=2`; 1 for all others."""
    reserve: float = Field(0.1, ge=0, le=0.9)
    """The part of a country's IPs that is kept for offers below their share, where several offers want them."""
    country_fallbacks: Fallbacks = {}  # noqa: RUF012 - pydantic copies it
    """Where an IP is taken from if a country has none free: `gb>ie>fr,us>ca`."""
    reusing_offers: CommaList = ()
    """Offers that may have an IP again at once where they had it last, without its rest: `summer,winter`."""
    offer_hosts: Hosts = {}  # noqa: RUF012 - pydantic copies it
    """Offers whose IPs rest only for offers of the same host: `summer=ads.example`; what they used last rests for all
    offers that are not named here."""
    credentials_dir: Path | None = None
    """A directory of `PROVIDER.toml` files with `username`, `password` and `profile` or `username_template`."""
    profiles_dir: Path | None = None
    """A directory of profiles of providers, `NAME.toml`, which win over the shipped ones of the same name."""
    drain_delay: Seconds = 0.0
    """How long clients get to turn away, after health says NOT_SERVING and before calls are refused."""
    grace: Seconds = 10.0
    """How long running calls get to finish at the end."""

    @property
    def cooldown_policies(self) -> Mapping[str, CooldownPolicy]:
        """The cooldown policies of the offers that have their own."""
        return {
            offer: CooldownPolicy(self.offer_hosts.get(offer, ""), offer in self.reusing_offers)
            for offer in {*self.reusing_offers, *self.offer_hosts}
        }


class ProvisionSettings(Settings):
    """What the environment says to the command that fills a running pool, under the prefix `POOL_`."""

    model_config = SettingsConfigDict(env_prefix="POOL_")

    target: str = "dns:///127.0.0.1:50051"
    """The pool manager to fill."""
    operator_token: SecretStr = SecretStr("")
    """The token that it wants, if it wants one."""
    tls_dir: Path | None = None
    """A directory with our `tls.crt`, `tls.key` and `ca.crt`, if it wants TLS."""
    identity: str = "pool-manager"
    """The DNS name that its certificate must bear."""
