"""The settings of the gateway, from `GATEWAY_*` variables."""

from typing import ClassVar

from pydantic import HttpUrl

from libs.common.process.settings import (
    Address,
    DatabaseSettings,
    Field,
    Networks,
    OperatorSettings,
    Seconds,
    SecretStr,
    ServerSettings,
    SettingsConfigDict,
)
from services.gateway.clicks.privacy import PersonalData


class GatewaySettings(DatabaseSettings, OperatorSettings, ServerSettings):
    """What can be set; times are in seconds and may carry a unit (`250ms`, `1m`)."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_")

    _exposed: ClassVar[tuple[str, ...]] = ("grpc_listen", "pool_target", "pool_admin_target", "tracer_target")

    listen: Address = Address("127.0.0.1", 8080)
    """The public port: the click endpoint and nothing else."""
    internal_listen: Address = Address("127.0.0.1", 8081)
    """The internal port: health, readiness, metrics."""
    grpc_listen: Address = Address("127.0.0.1", 50053)
    """OfferAdmin and ClickLog."""
    pool_target: str = "dns:///127.0.0.1:50051"
    """Where the pool managers are."""
    pool_admin_target: str | None = None
    """Where their PoolAdmin is, if that has a port of its own; where they are if not set."""
    tracer_target: str = "dns:///127.0.0.1:50052"
    """Where the tracers are."""
    pool_identity: str = "pool-manager"
    """The DNS name that certificates of pool managers must bear; the one in the target if empty."""
    tracer_identity: str = "tracer"
    """The DNS name that certificates of tracers must bear; the one in the target if empty."""
    pool_operator_token: SecretStr = SecretStr("")
    """What the console shows the pool managers; the operator token if empty."""
    jaeger_url: HttpUrl | None = None
    """Where traces are looked at, for links in the console (`http://jaeger:16686`); no links if not set."""
    click_url: HttpUrl | None = None
    """Where visitors reach the public port (`https://click.example`), for links in the console; no links if not set."""
    reflection: bool = True
    """Whether grpcurl can ask the server what it offers."""

    max_wait: Seconds = Field(10.0, ge=0.1, le=60)
    """How long a visitor waits if the offer does not say."""
    trace_timeout: Seconds = Field(60.0, ge=1, le=600)
    """How long a trace may take in all, with every IP that is tried."""
    lease_ttl: Seconds = Field(15.0, ge=2, le=600)
    """How long a lease outlives a gateway that died."""
    max_attempts: int = Field(3, ge=1, le=10)
    """How many IPs are tried for one click at most."""

    max_waiting: int = Field(2_000, ge=1)
    """How many visitors may wait at once; more get the fallback at once."""
    max_traces: int = Field(5_000, ge=1)
    """How many traces may run at once, those in the background included; more clicks get the fallback at once."""
    client_rate: float = Field(20.0, gt=0)
    """How many clicks a second one client address may have traced; more get the fallback."""
    client_burst: float = Field(100.0, ge=1)
    """How many clicks one client address may have traced at once."""
    offer_rate: float = Field(1_000.0, gt=0)
    """How many clicks a second of one offer may be traced, times the weight of the offer; more get the fallback."""
    offer_burst: float = Field(2_000.0, ge=1)
    """How many clicks of one offer may be traced at once, times the weight of the offer."""
    trusted_proxies: Networks = ()
    """The networks whose `X-Forwarded-For` is believed; of nobody if empty."""
    trusted_hops: int = Field(0, ge=0, le=32)
    """How many proxies stand in front whose `X-Forwarded-For` is believed, whatever their addresses are."""
    header_timeout: Seconds = Field(15.0, gt=0)
    """How long a client may take to send a request, or stay silent between two."""
    max_url_bytes: int = Field(65_536, ge=1_024)
    """The longest request line that is read."""
    max_header_bytes: int = Field(16_384, ge=1_024)
    """The longest single header that is read."""
    max_headers_bytes: int = Field(65_536, ge=1_024)
    """How long all headers of one request may be together."""

    journal_capacity: int = Field(20_000, ge=1)
    """How many click records wait for a database that is gone before the oldest are dropped."""
    health_every: Seconds = Field(2.0, gt=0)
    """How often what clicks tell of their offers is taken into the database, where drift is found."""
    personal_data: PersonalData = PersonalData.TRUNCATED
    """How much of a visitor the click log keeps: none, truncated or hashed."""
    privacy_key: SecretStr = SecretStr("")
    """The secret of hashed personal data; made anew at each start if empty."""
    webhook_secret: SecretStr = SecretStr("")
    """What webhooks are signed with; without it offers can have none."""
    webhook_attempts: int = Field(10, ge=1, le=30)
    """How often a webhook is tried before it is a dead letter."""
    webhook_pause: Seconds = Field(2.0, gt=0)
    """The pause before a webhook is tried the second time; it doubles each time, up to an hour."""
    retention: Seconds = Field(30 * 86_400.0, ge=60)
    """How long the click log keeps a click."""
    landings_every: Seconds = Field(10.0, ge=0.01)
    """How often the gateway learns where the chains that others traced have landed, for LAST_LANDING."""
    drain_delay: Seconds = Field(0.0, ge=0)
    """How long the gateway still takes clicks after it has turned unready."""
    grace: Seconds = Field(20.0, ge=0)
    """How long traces in the background may go on at a stop."""
