"""Secrets stay where they belong: the whole system is run with marked ones, through good days, bad days and attacks."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor

from clicktrace.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from clicktrace.pool.v1 import pool_pb2, pool_pb2_grpc
from clicktrace.tracer.v1 import tracer_pb2
from libs.common.rpc import status
from tests.support.forks import fork_server
from tests.support.origin import RawServer, Wire, read_request
from tests.support.otlp import OtlpSink
from tests.support.secrets import leaks
from tests.support.system import ROOT, System, state_directory

pytestmark = pytest.mark.xdist_group("secrets")

SECRETS = {
    "the operator token": "marker-operator-token+/=1",
    "the webhook secret": "marker-webhook-secret",
    "the privacy key": "marker-privacy-key",
    "the password of the proxies": "marker-proxy-password%2",
    "the password of another provider": "marker-hostile-password",
    "the password in a file that cannot be read": "marker-broken-password",
    "a token that was tried": "marker-wrong-token",
}
PERSONAL = {
    "a query value": "marker-query-value",
    "a User-Agent": "marker-user-agent",
    "an address": "203.0.113.77",
}
TOKEN = SECRETS["the operator token"]
# They carry the credentials of a proxy to its holder: that is what they are for.
CARRIERS = {"Lease", "BatchLease"}


@pytest.fixture(scope="module")
def sink() -> Iterator[OtlpSink]:
    """Collects every span."""
    with OtlpSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def system(sink: OtlpSink) -> Iterator[System]:
    """Runs the system with marked secrets, at its most talkative."""
    environment = {
        "POOL_OPERATOR_TOKEN": TOKEN,
        "GATEWAY_OPERATOR_TOKEN": TOKEN,
        "POOL_PROTECT_READS": "true",
        "GATEWAY_PROTECT_READS": "true",
        "GATEWAY_WEBHOOK_SECRET": SECRETS["the webhook secret"],
        "GATEWAY_WEBHOOK_ATTEMPTS": "1",
        "GATEWAY_PRIVACY_KEY": SECRETS["the privacy key"],
        "GATEWAY_TRUSTED_PROXIES": "127.0.0.0/8",
        "LOG_LEVEL": "debug",
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    options = ("--cooldown", "500ms", "--max-wait", "1s", "--slow-hop", "500ms", "--verbose")
    with state_directory() as state:
        credentials(state)
        with System(state, options, environment) as system:
            yield system


def credentials(state: Path) -> None:
    """Writes the secret files of three providers, one of them broken."""
    directory = state / "credentials"
    directory.mkdir(parents=True)
    state.chmod(0o755)
    directory.chmod(0o700)
    for provider, name in (("demo", "the password of the proxies"), ("hostile", "the password of another provider")):
        (directory / f"{provider}.toml").write_text(f'username = "somebody"\npassword = "{SECRETS[name]}"\n')
    (directory / "broken.toml").write_text(f'password = "{SECRETS["the password in a file that cannot be read"]}\n')
    for file in directory.iterdir():
        file.chmod(0o600)


class Hostile(RawServer):
    """A proxy that throws back at its caller what it was shown, each time in another way."""

    async def serve(self, wire: Wire, connection: int) -> None:
        """Serves one connection."""
        request = await read_request(wire.reader, connection)
        if request is None:
            return
        shown = (request.header("proxy-authorization") or "").encode()
        answers = (
            b"HTTP/1.1 407 %b\r\nProxy-Authenticate: Basic realm=%b\r\nContent-Length: 0\r\n\r\n" % (shown, shown),
            b"HTTP/1.1 502 %b\r\nX-Shown: %b\r\nContent-Length: %d\r\n\r\n%b" % (shown, shown, len(shown), shown),
            b"%b\r\n\r\n" % shown,
        )
        await wire.send(answers[connection % len(answers)])
        wire.close()


@asynccontextmanager
async def opened(system: System, port: str) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{system.ports[port]}") as channel:
        yield channel


async def test_no_secret_leaves_the_system(system: System, sink: OtlpSink) -> None:
    outputs: dict[str, str] = {}
    await good_and_bad_days(system)
    async with Hostile() as proxy:
        await a_hostile_provider(system, proxy)
    await attacks(system, outputs)
    await everything_is_asked(system, outputs)
    await pages(system, outputs)
    await starts_that_fail(outputs)
    assert system.stop() == 0
    logs = "".join(path.read_text() for path in sorted((system.state / "logs").iterdir()))
    outputs["the logs"] = logs
    outputs["the terminal"] = "\n".join(system.output)
    outputs["the spans"] = repr(sink.spans)

    # What was done has left its marks, so that nothing is found for the reason that nothing happened.
    for event in ("PROXY_AUTH_REQUIRED", "credentials.broken", "webhook.dead", "click.ended", "console.wrong_token"):
        assert event in logs, event
    assert {"gateway", "pool_manager", "tracer"} <= {span.service for span in sink.spans}

    password = (system.state / "database-url").read_text().partition("://")[2].partition("@")[0].partition(":")[2]
    assert len(password) > 8
    found = leaks({**SECRETS, "the password of the database": password}, outputs)
    assert not found, "\n".join(found)
    quiet = {name: text for name, text in outputs.items() if name in ("the logs", "the spans", "/metrics")}
    found = leaks(PERSONAL, quiet)
    assert not found, "\n".join(found)


async def good_and_bad_days(system: System) -> None:
    """Clicks of every kind, and a late result that nobody takes."""
    query = f"sub={PERSONAL['a query value']}"
    headers = {"User-Agent": PERSONAL["a User-Agent"], "X-Forwarded-For": PERSONAL["an address"]}
    async with opened(system, "grpc") as channel:
        stub: Any = gateway_pb2_grpc.OfferAdminStub(channel)
        offer = gateway_pb2.Offer(name="demo-slow", webhook_url="http://127.0.0.1:9/late")
        request = gateway_pb2.UpdateOfferRequest(offer=offer)
        request.update_mask.paths.append("webhook_url")
        await stub.UpdateOffer(request, metadata=operator())
    for offer_name in ("demo", "demo", "demo-slow", "demo-broken"):
        answer = await system.click(f"offer={offer_name}&gclid=secrets&{query}", headers=headers)
        assert answer.status == 302
    await asyncio.to_thread(system.wait_for, r"webhook\.dead")


async def a_hostile_provider(system: System, proxy: Hostile) -> None:
    """Buys an IP from a provider that turns on us, one whose secret file is broken, and clicks through both."""
    async with opened(system, "pool") as channel, opened(system, "grpc") as gateway:
        pool: Any = pool_pb2_grpc.PoolAdminStub(channel)
        offers: Any = gateway_pb2_grpc.OfferAdminStub(gateway)
        for provider, country in (("hostile", "nz"), ("broken", "fj")):
            spec = pool_pb2.ProxySpec(ip_address=proxy.host, ip_port=proxy.port, country=country, provider=provider)
            spec.cooldown.FromMilliseconds(0)
            if provider == "broken":
                spec.ip_address = "localhost"
            await pool.ProvisionProxies(pool_pb2.ProvisionProxiesRequest(proxies=[spec]), metadata=operator())
            for scheme in ("http", "https"):
                offer = gateway_pb2.Offer(
                    name=f"{provider}-{scheme}",
                    country=country,
                    tracking_url=f"{scheme}://ads.demo.localhost:{system.ports['demo']}/go/demo",
                )
                await offers.CreateOffer(gateway_pb2.CreateOfferRequest(offer=offer), metadata=operator())
                for number in range(3):
                    assert (await system.click(f"offer={offer.name}&gclid={number}")).status == 302


async def attacks(system: System, outputs: dict[str, str]) -> None:
    """Sends what strangers send, and keeps what they get."""
    wrong = SECRETS["a token that was tried"]
    base = f"http://127.0.0.1:{system.ports['http']}"
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {wrong}"}) as session:
        for path in (
            "/",
            "/track-hit",
            f"/track-hit?offer={wrong}",
            "/metrics",
            "/console",
            "/%00",
            "/track-hit?offer=%",
        ):
            async with session.get(base + path, allow_redirects=False) as response:
                outputs[f"the public {path}"] = f"{response.status} {response.headers} {await response.text()}"
    for port in ("http", "internal", "pool", "tracer", "grpc"):
        reader, writer = await asyncio.open_connection("127.0.0.1", system.ports[port])
        writer.write(f"GET /{wrong} HTTP/9\r\nAuthorization: Bearer {wrong}\r\nBad\0Header\r\n\r\n".encode())
        writer.write_eof()
        # The answer may quote it to whoever sent it; nobody else is to see it.
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()


def operator(token: str = TOKEN) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


async def everything_is_asked(system: System, outputs: dict[str, str]) -> None:
    """Calls every method of every service: as a stranger, with a wrong token, and as an operator."""
    for port, description in (
        ("pool", pool_pb2.DESCRIPTOR),
        ("grpc", gateway_pb2.DESCRIPTOR),
        ("tracer", tracer_pb2.DESCRIPTOR),
    ):
        async with opened(system, port) as channel:
            for service in description.services_by_name.values():
                for method in service.methods:
                    for who, metadata in (
                        ("a stranger", ()),
                        ("an intruder", operator(SECRETS["a token that was tried"])),
                        ("an operator", operator()),
                    ):
                        if method.name not in CARRIERS:
                            outputs[f"{method.full_name} to {who}"] = await called(channel, method, metadata)
    async with opened(system, "grpc") as channel:
        log: Any = gateway_pb2_grpc.ClickLogStub(channel)
        clicks = (await log.ListClicks(gateway_pb2.ListClicksRequest(), metadata=operator())).clicks
        assert len(clicks) > 10
        for click in clicks:
            request = gateway_pb2.GetClickRequest(click_id=click.click_id)
            outputs[f"click {click.click_id}"] = str(await log.GetClick(request, metadata=operator()))


async def called(channel: grpc.aio.Channel, method: MethodDescriptor, metadata: Any) -> str:
    """Calls a method with an empty request, and returns the answer, or the first of them, or the error whole."""
    name = f"/{method.containing_service.full_name}/{method.name}"
    make: Any = channel.unary_stream if method.server_streaming else channel.unary_unary
    response_type = message_factory.GetMessageClass(method.output_type)
    call = make(name, request_serializer=lambda request: request, response_deserializer=response_type.FromString)(
        b"", metadata=metadata, timeout=2
    )
    try:
        return str(await (call.read() if method.server_streaming else call))
    except grpc.aio.AioRpcError as error:
        told = status.from_rpc_error(error)
        return f"{error.details()} {error.debug_error_string()} {error.trailing_metadata()} {told} {told.violations}"
    finally:
        call.cancel()


async def pages(system: System, outputs: dict[str, str]) -> None:
    """Reads every page of the internal ports, as a stranger and as somebody who has signed in."""
    base = f"http://127.0.0.1:{system.ports['internal']}"
    click_id = (await system.click("offer=demo&gclid=for-its-page")).click_id
    paths = ("/", "/healthz", "/readyz", "/metrics", "/console", "/console/clicks", f"/console/clicks/{click_id}")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        for signed_in in (False, True):
            for path in (*paths, "/console/estimate", "/nowhere"):
                async with session.get(base + path) as response:
                    outputs[f"{path}{' signed in' * signed_in}"] = f"{response.headers} {await response.text()}"
            for token in (SECRETS["a token that was tried"], TOKEN):
                async with session.post(f"{base}/console/session", data={"token": token}) as response:
                    outputs[f"signing in {token == TOKEN}"] = f"{response.headers} {await response.text()}"
            assert (response.status, str(response.url)) == (200, f"{base}/console")
        async with session.get(f"{base}/console/events") as response:
            outputs["/console/events"] = (await response.content.readany()).decode()
        for token in (SECRETS["a token that was tried"], TOKEN):
            headers = {"Authorization": f"Bearer {token}"}
            async with session.post(f"{base}/functions/v1/ip-pool-maintenance", headers=headers) as response:
                outputs[f"maintenance {token == TOKEN}"] = f"{response.headers} {await response.text()}"
        for port in ("pool-metrics", "tracer-metrics"):
            async with session.get(f"http://127.0.0.1:{system.ports[port]}/metrics") as response:
                outputs[f"/metrics of {port}"] = await response.text()


async def starts_that_fail(outputs: dict[str, str]) -> None:
    """Starts services with settings that cannot work, and keeps what they say to that."""
    password = SECRETS["the password of another provider"]
    cases: tuple[Mapping[str, str], ...] = (
        {"DATABASE_URL": f"postgresql://somebody:{password}@127.0.0.1:9/nowhere"},
        {"DATABASE_URL": f"postgresql://somebody:{password}@/"},
        {"DATABASE_URL": f"mysql://somebody:{password}@127.0.0.1/x"},
        {"DATABASE_URL": password},
        {"DATABASE_URL": "postgresql://127.0.0.1:9/x", "GATEWAY_WEBHOOK_ATTEMPTS": "no", "POOL_FAILURE_LIMIT": "no"},
    )
    secret = {f"{prefix}_OPERATOR_TOKEN": TOKEN for prefix in ("GATEWAY", "POOL")}
    loaded = [
        f"services.{service}.{module}" for service in ("gateway", "pool_manager") for module in ("main", "migrate")
    ]
    async with fork_server(*loaded) as (forks, _), asyncio.timeout(60):
        for number, case in enumerate(cases):
            for service in ("gateway", "pool_manager"):
                for command in ("serve", "migrate"):
                    started = await forks.spawn(
                        f"services.{service}", [command], environment={**os.environ, **secret, **case}, directory=ROOT
                    )
                    outputs[f"{service} {command} {number}"] = (await started.stdout.read()).decode()
                    assert await started.wait() != 0


@pytest.mark.parametrize(
    "text",
    ["password=marker+secret;", "marker%2Bsecret", "c29tZWJvZHk6bWFya2VyK3NlY3JldA==", "6d61726b65722b736563726574"],
)
def test_the_search_finds_what_it_is_for(text: str) -> None:
    assert leaks({"it": "marker+secret"}, {"there": f"before {text} after"})
    assert not leaks({"it": "marker+secret"}, {"there": "nothing of the kind"})
