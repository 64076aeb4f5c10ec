"""The settings of the gateway, from `GATEWAY_*` variables."""

from typing import Annotated, ClassVar

from pydantic import Field, HttpUrl, SecretStr
from pydantic_settings import SettingsConfigDict

from libs.common.process.settings import DatabaseSettings, OperatorSettings, ServerSettings
from libs.common.process.values import Address, Networks, PeerName, Seconds, Target, Unit
from services.gateway.clicks.privacy import PersonalData

_Rate = Annotated[float, Unit("clicks a second")]
_Burst = Annotated[float, Unit("clicks")]
_Bytes = Annotated[int, Unit("bytes")]


class GatewaySettings(DatabaseSettings, OperatorSettings, ServerSettings):
    """What an operator may choose for the gateway."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_")

    _exposed: ClassVar[tuple[str, ...]] = ("grpc_listen", "pool_target", "pool_admin_target", "tracer_target")

    listen: Address = Address("127.0.0.1", 8080)
    """Address of the public port: the click endpoint and nothing else."""
    internal_listen: Address = Address("127.0.0.1", 8081)
    """Address of the internal port: health, readiness, metrics, the console."""
    grpc_listen: Address = Address("127.0.0.1", 50053)
    """Address of the gRPC server: offers, the click log, webhooks."""
    pool_target: Target = "dns:///127.0.0.1:50051"
    """Where the pool managers are."""
    pool_admin_target: Target | None = None
    """Where the `PoolAdmin` of the pool managers is, if that has an address of its own; `GATEWAY_POOL_TARGET` if
    unset."""
    tracer_target: Target = "dns:///127.0.0.1:50052"
    """Where the tracers are."""
    pool_identity: PeerName = "pool-manager"
    """DNS name that certificates of pool managers must have; if empty, the one in `GATEWAY_POOL_TARGET`."""
    tracer_identity: PeerName = "tracer"
    """DNS name that certificates of tracers must have; if empty, the one in `GATEWAY_TRACER_TARGET`."""
    pool_operator_token: SecretStr = SecretStr("")
    """The token that the console shows the pool managers (their `POOL_OPERATOR_TOKEN`); `GATEWAY_OPERATOR_TOKEN` if
    unset."""
    jaeger_url: HttpUrl | None = None
    """Where traces are looked at (`http://jaeger:16686`), for links in the console; no links if unset."""
    click_url: HttpUrl | None = None
    """Where visitors reach the public port (`https://click.example`), for links in the console; no links if unset."""
    reflection: bool = True
    """Whether gRPC reflection is served, for tools such as grpcurl."""

    max_wait: Seconds = Field(10.0, ge=0.1, le=60)
    """How long a visitor waits if the offer does not say."""
    trace_timeout: Seconds = Field(60.0, ge=1, le=600)
    """How long a trace may take in all, with every IP that is tried."""
    lease_ttl: Seconds = Field(15.0, ge=2, le=600)
    """Lease TTL; leases are renewed once older than a third of it, and lapse after it when a gateway dies."""
    max_attempts: Annotated[int, Unit("IPs")] = Field(3, ge=1, le=10)
    """How many IPs are tried for one click at most."""

    max_waiting: Annotated[int, Unit("visitors")] = Field(2_000, ge=1, le=1_000_000)
    """How many visitors may wait at once; more get the fallback at once."""
    max_traces: Annotated[int, Unit("traces")] = Field(5_000, ge=1, le=1_000_000)
    """How many traces may run at once, those in the background included; more clicks get the fallback at once."""
    client_rate: _Rate = Field(20.0, gt=0, le=1_000_000)
    """How many clicks a second one client address may have traced; more get the fallback."""
    client_burst: _Burst = Field(100.0, ge=1, le=1_000_000)
    """How many clicks one client address may have traced at once."""
    offer_rate: _Rate = Field(1_000.0, gt=0, le=1_000_000)
    """How many clicks a second of one offer may be traced, times the weight of the offer; more get the fallback."""
    offer_burst: _Burst = Field(2_000.0, ge=1, le=1_000_000)
    """How many clicks of one offer may be traced at once, times the weight of the offer."""
    trusted_proxies: Networks = ()
    """Networks of proxies in front whose `X-Forwarded-For` is believed."""
    trusted_hops: Annotated[int, Unit("proxies")] = Field(0, ge=0, le=32)
    """How many proxies stand in front whose `X-Forwarded-For` is believed, whatever their addresses are."""
    header_timeout: Seconds = Field(15.0, gt=0, le=600)
    """How long a client may take to send a request, or stay silent between two."""
    max_url_bytes: _Bytes = Field(65_536, ge=1_024, le=1_048_576)
    """The longest request line that is read."""
    max_header_bytes: _Bytes = Field(16_384, ge=1_024, le=1_048_576)
    """The longest single header that is read."""
    max_headers_bytes: _Bytes = Field(65_536, ge=1_024, le=16_777_216)
    """How long all headers of one request may be together."""

    journal_capacity: Annotated[int, Unit("records")] = Field(20_000, ge=1, le=10_000_000)
    """How many click records wait in memory for a database that is gone before the oldest are dropped."""
    health_every: Seconds = Field(2.0, gt=0, le=3600)
    """How often what clicks tell of their offers is written to the database, where drift is found."""
    personal_data: PersonalData = PersonalData.TRUNCATED
    """What the click log keeps of a visitor. `truncated`: the network of the address (/24, /48) and the first word of
    the User-Agent; `hashed`: a keyed hash of each; `none`: nothing."""
    privacy_key: SecretStr = SecretStr("")
    """Key of hashed personal data, so that the same visitor can be told again; made anew at each start if unset."""
    webhook_secret: SecretStr = SecretStr("")
    """The secret that webhooks are signed with; without it offers can have none."""
    webhook_attempts: Annotated[int, Unit("attempts")] = Field(10, ge=1, le=30)
    """How often a webhook is tried before it is a dead letter."""
    webhook_pause: Seconds = Field(2.0, gt=0, le=3600)
    """Pause before a webhook is tried the second time; it doubles each time, up to an hour."""
    retention: Seconds = Field(30 * 86_400.0, ge=60, le=3650 * 86_400)
    """How long the click log keeps clicks, and dead letters."""
    landings_every: Seconds = Field(10.0, ge=0.01, le=3600)
    """How often the gateway learns where the chains that others traced have landed, for LAST_LANDING."""
    drain_delay: Seconds = Field(0.0, ge=0, le=600)
    """How long the gateway still takes clicks after it has turned unready."""
    grace: Seconds = Field(20.0, ge=0, le=3600)
    """How long traces in the background may go on at a stop."""
