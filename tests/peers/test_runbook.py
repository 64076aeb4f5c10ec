"""Every command of the runbook is run as it stands, with the real grpcurl, and says what the runbook shows.

With REFRESH_DOCS=1 (`make docs`) the runbook gets the outputs of this run.
"""

import asyncio
import os
import re
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from clicktrace.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from clicktrace.pool.v1 import pool_pb2, pool_pb2_grpc
from libs.common.rpc.client import channel
from libs.common.rpc.times import to_duration
from tests.acceptance.test_readme import DEFAULT_PORTS
from tests.support import runbook
from tests.support.system import ROOT, System, state_directory

DOCUMENT = ROOT / "docs/operations.md"
EXAMPLES = list(runbook.examples(DOCUMENT.read_text()))
SECTIONS = list(dict.fromkeys(example.section for example in EXAMPLES))
TOKEN = "token-of-the-runbook"
OPERATOR = (("authorization", f"Bearer {TOKEN}"),)
REFRESH = os.environ.get("REFRESH_DOCS") == "1"

pytestmark = pytest.mark.usefixtures("grpcurl")


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """Runs the system as in production: nothing is read without the token."""
    options = ("--cooldown", "4s", "--max-wait", "1s", "--slow-hop", "1s")
    environment = {
        "POOL_OPERATOR_TOKEN": TOKEN,
        "GATEWAY_OPERATOR_TOKEN": TOKEN,
        "POOL_PROTECT_READS": "true",
        "GATEWAY_PROTECT_READS": "true",
        "GATEWAY_WEBHOOK_SECRET": "secret-of-the-runbook",
        "GATEWAY_WEBHOOK_ATTEMPTS": "1",
    }
    with state_directory() as state, System(state, options, environment) as system:
        yield system


@pytest.fixture(scope="module")
def outputs() -> Iterator[dict[int, str]]:
    """Gathers what the commands say, and at the end puts it into the runbook if that is asked for."""
    outputs: dict[int, str] = {}
    yield outputs
    if REFRESH:
        DOCUMENT.write_text(runbook.rewritten(DOCUMENT.read_text(), outputs))


@asynccontextmanager
async def admin(system: System) -> AsyncIterator[Any]:
    async with channel(f"127.0.0.1:{system.ports['pool']}") as opened:
        yield pool_pb2_grpc.PoolAdminStub(opened)


async def a_slow_click_runs(system: System) -> None:
    """Clicks on a slow chain: its visitor is answered after a second, and its lease lives for two more."""
    await everything_is_free(system)
    await system.click(f"offer=demo-slow&gclid={os.urandom(4).hex()}")


async def ips_are_used(system: System, *, count: int) -> None:
    """Uses some IPs once."""
    await everything_is_free(system)
    await asyncio.gather(*(system.click(f"offer=demo&gclid={os.urandom(4).hex()}") for _ in range(count)))


async def the_health_is_known(system: System) -> None:
    """Uses some IPs, and waits until what is learned of their chains is on record."""
    await ips_are_used(system, count=4)
    async with channel(f"127.0.0.1:{system.ports['grpc']}") as opened, asyncio.timeout(30):
        log: Any = gateway_pb2_grpc.ClickLogStub(opened)
        wanted = gateway_pb2.ListOfferHealthRequest()
        while not any(o.shape.hops for o in (await log.ListOfferHealth(wanted, metadata=OPERATOR)).offers):
            await asyncio.sleep(0.1)
    # And once more, so that an operator finds some of them resting.
    await ips_are_used(system, count=4)


async def everything_is_free(system: System) -> None:
    async with admin(system) as stub, asyncio.timeout(30):
        while True:
            status = await stub.GetPoolStatus(pool_pb2.GetPoolStatusRequest(), metadata=OPERATOR)
            if status.total.available >= 10:
                return
            await asyncio.sleep(0.1)


async def an_ip_is_unhealthy(system: System) -> None:
    """Has an IP fail three times in a row."""
    async with channel(f"127.0.0.1:{system.ports['pool']}") as opened:
        stub: Any = pool_pb2_grpc.PoolManagerStub(opened)
        operators: Any = pool_pb2_grpc.PoolAdminStub(opened)
        spec = pool_pb2.ProxySpec(
            ip_address="192.0.2.99", ip_port=1, country="nz", provider="broken", cooldown=to_duration(0)
        )
        await operators.ProvisionProxies(pool_pb2.ProvisionProxiesRequest(proxies=[spec]), metadata=OPERATOR)
        for number in range(3):
            lease = (await stub.Lease(pool_pb2.LeaseRequest(request_id=f"failing-{number}", country="nz"))).lease
            release = pool_pb2.ReleaseRequest(lease_id=lease.lease_id, fence=lease.fence)
            release.outcome = pool_pb2.PROXY_FAILURE
            release.failure_reason = "PROXY_CONNECTION_FAILED"
            await stub.Release(release)


async def a_trace_is_late(system: System) -> None:
    """Takes the IP that failed away, so that no click gets it, and clicks on a slow chain."""
    async with admin(system) as stub:
        request = pool_pb2.DeleteProxiesRequest(filter=pool_pb2.ProxyFilter(provider="broken"))
        await stub.DeleteProxies(request, metadata=OPERATOR)
    await a_slow_click_runs(system)


async def a_chain_broke(system: System) -> None:
    await system.click(f"offer=demo-broken&gclid={os.urandom(4).hex()}")


async def a_webhook_is_dead(system: System) -> None:
    """Lets a late result find nobody who takes it."""
    async with channel(f"127.0.0.1:{system.ports['grpc']}") as opened:
        offers: Any = gateway_pb2_grpc.OfferAdminStub(opened)
        webhooks: Any = gateway_pb2_grpc.WebhookAdminStub(opened)
        offer = gateway_pb2.Offer(name="demo-slow", webhook_url="http://127.0.0.1:9/late", max_wait=to_duration(1))
        request = gateway_pb2.UpdateOfferRequest(offer=offer)
        request.update_mask.paths.extend(["webhook_url", "max_wait"])
        await offers.UpdateOffer(request, metadata=OPERATOR)
        await a_slow_click_runs(system)
        async with asyncio.timeout(30):
            wanted = gateway_pb2.ListWebhooksRequest(dead=True)
            while not (await webhooks.ListWebhooks(wanted, metadata=OPERATOR)).webhooks:
                await asyncio.sleep(0.1)


# What has happened before an operator looks into a section.
BEFORE: Mapping[str, Callable[[System], Awaitable[None]]] = {
    "Is everything well?": the_health_is_known,
    "A stuck lease": a_slow_click_runs,
    "Who had this IP, and when?": partial(ips_are_used, count=10),
    "Unhealthy IPs": an_ip_is_unhealthy,
    "Late traces": a_trace_is_late,
    "A click explained": everything_is_free,
    "A fallback spike": a_chain_broke,
    "Late results that were not delivered": a_webhook_is_dead,
}


@pytest.mark.parametrize("section", SECTIONS)
async def test_every_command_says_what_is_shown(system: System, outputs: dict[int, str], section: str) -> None:
    if section in BEFORE:
        await BEFORE[section](system)
    for number, example in enumerate(EXAMPLES):
        if example.section != section:
            continue
        said = outputs[number] = await asyncio.to_thread(run, system, example)
        assert REFRESH or not (different := runbook.faults(example, said)), (example.script, different, said)


_OF_MAKE = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}


def run(system: System, example: runbook.Example) -> str:
    """Runs a block of commands in a shell, on the ports of the system, and returns what it says."""
    ports = {name: f"127.0.0.1:{port}" for name, port in system.ports.items()}
    script = re.sub(r"127\.0\.0\.1:(\d+)", lambda match: ports[DEFAULT_PORTS[match[1]]], example.script)
    settings = {
        "OPERATOR_TOKEN": TOKEN,
        "POOL_OPERATOR_TOKEN": TOKEN,
        "POOL_TARGET": f"dns:///{ports['pool']}",
        "POOL": ports["pool"],
        "GATEWAY": ports["grpc"],
        "HTTP": ports["http"],
        "USER": "anna",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        # Under `make test-peers` these would make the inner make tell where it is.
        env={name: value for name, value in os.environ.items() if name not in _OF_MAKE} | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    refused = example.section == "Before you begin" and "authorization" not in script and '"DRAIN"' in script
    assert (done.returncode != 0) is refused, (script, done.stdout, done.stderr)
    said = done.stderr if refused else done.stdout
    for default, name in (*DEFAULT_PORTS.items(), ("8899", "proxy")):
        said = re.sub(rf"\b{system.ports[name]}\b", default, said)
    assert TOKEN not in said
    return said


def test_the_runbook_answers_what_operators_ask() -> None:
    asked = {"Provision", "Drain a provider", "A stuck lease", "Unhealthy IPs", "Late traces", "A click explained"}
    assert asked | {"A fallback spike", "Maintenance"} <= set(SECTIONS)
    assert all(example.kind for example in EXAMPLES if "/" in example.script.splitlines()[-1].rpartition(" ")[2])


# README.md is for newcomers without a token; its commands are run by test_grpcurl.
OTHERS = [path for path in sorted((ROOT / "docs").glob("*.md")) if path != DOCUMENT]
CALLS = [
    call
    for path in OTHERS
    for block in re.findall(r"^```sh\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
    for call in re.findall(r"^(?:grpc|c)url (?:.*\\\n)*.*\n", block, re.MULTILINE)
]


@pytest.mark.parametrize("call", CALLS)
def test_the_calls_of_the_other_documents(system: System, call: str) -> None:
    script = re.sub(r"Bearer [\w-]+", f"Bearer {TOKEN}", call)
    if "authorization" not in script:
        # Written for a system that lets everybody read.
        script = script.replace("url ", f"url -H 'authorization: Bearer {TOKEN}' ", 1)
    if script.startswith("curl"):
        script = script.replace("curl ", "curl --fail ", 1)
    if "-max-time" in script:
        # A stream that is cut off after a while, as it is meant to be, and by nothing else.
        script = f'said=$({script.strip()} 2>&1) || true; echo "$said"; grep -q \'Code: DeadlineExceeded\' <<<"$said"'
    assert run(system, runbook.Example("", script, "", "", 0, 0))
