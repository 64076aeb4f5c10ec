"""A real Prometheus scrapes the running system, and every rule and every query of the dashboard is evaluated there.

The rules' own unit tests, which need no system, are run by promtool.
"""

import asyncio
import json
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from clicktrace.gateway.v1 import gateway_pb2 as pb
from clicktrace.gateway.v1 import gateway_pb2_grpc as pb_grpc
from libs.common.rpc.client import channel
from local.ports import free_ports
from services.gateway.drift.shape import LEARNED_FROM
from tests.acceptance.test_readme import on_the_ports_of
from tests.support.metrics import known
from tests.support.otlp import OtlpSink
from tests.support.rules import RULES, RULES_TEST, panel_queries, rule_queries, rules
from tests.support.system import ROOT, WITHOUT_SHARES, System, state_directory

JOBS = {"gateway": "internal", "pool_manager": "pool-metrics", "tracer": "tracer-metrics"}
HINT = "is missing: apt-get install prometheus"


def program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} {HINT}")
    return path


@pytest.fixture(scope="module")
def promtool() -> str:
    return program("promtool")


@pytest.fixture(scope="module")
def observed() -> Iterator[System]:
    """Runs a system whose every click is traced, so that there are exemplars."""
    with OtlpSink() as sink, state_directory() as state:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint, **WITHOUT_SHARES}
        with System(state, ("--cooldown", "1s", "--max-wait", "2s"), environment) as system:
            yield system


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A Prometheus that runs."""

    url: str
    session: aiohttp.ClientSession

    async def get(self, path: str, **params: str) -> Any:
        """Returns the data of an answer; AssertionError with its error if it is none."""
        async with self.session.get(f"{self.url}/api/v1/{path}", params=params) as response:
            answer = await response.json()
        assert answer["status"] == "success", answer
        assert not answer.get("warnings"), answer
        return answer["data"]

    async def query(self, expr: str) -> list[dict[str, Any]]:
        """Evaluates a query now."""
        result: list[dict[str, Any]] = (await self.get("query", query=expr))["result"]
        return result

    async def value(self, expr: str) -> float:
        """Returns the only value of a query, 0 if there is none."""
        found = await self.query(expr)
        return float(found[0]["value"][1]) if found else 0.0

    async def until(self, expr: str) -> None:
        """Waits until a query has a result."""
        async with asyncio.timeout(60):
            while not await self.query(expr):
                await asyncio.sleep(0.2)


@asynccontextmanager
async def prometheus(system: System, directory: Path) -> AsyncIterator[Prometheus]:
    """Runs a Prometheus that scrapes a system every second."""
    (port,) = free_ports(1)
    config = directory / "prometheus.yml"
    jobs = [
        {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{system.ports[name]}"]}]}
        for job, name in JOBS.items()
    ]
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config.write_text(yaml.safe_dump({"global": every, "rule_files": [str(RULES)], "scrape_configs": jobs}))
    options = {
        "config.file": config,
        "storage.tsdb.path": directory / "data",
        "web.listen-address": f"127.0.0.1:{port}",
        "enable-feature": "exemplar-storage",
        "log.level": "warn",
    }
    log = (directory / "log").open("w+")
    process = subprocess.Popen(
        [program("prometheus"), *(f"--{name}={value}" for name, value in options.items())], stdout=log, stderr=log
    )
    try:
        async with aiohttp.ClientSession() as session:
            running = Prometheus(f"http://127.0.0.1:{port}", session)
            async with asyncio.timeout(60):
                while process.poll() is None:
                    try:
                        async with session.get(f"{running.url}/-/ready") as response:
                            if response.status == 200:
                                break
                    except aiohttp.ClientConnectionError:
                        pass
                    await asyncio.sleep(0.1)
            assert process.poll() is None, "Prometheus ended; see the file log in tmp_path"
            yield running
    finally:
        process.terminate()
        process.wait(30)
        log.close()


async def clicked(system: System, running: Prometheus) -> None:
    """Makes clicks of each kind, twice, so that counters grow between two scrapes."""
    for number in range(2):
        await system.rested()
        for offer in ("demo", "demo-slow", "demo-broken"):
            await system.click(f"offer={offer}&gclid=prometheus-{number}")
        await system.click(f"offer=nobody-knows&gclid={number}")
        counted = f'sum(clicktrace_gateway_clicks_total{{offer=~"demo.*"}}) >= {3 * (number + 1)}'
        await running.until(counted)
    # The slow ones end in the background.
    await running.until('clicktrace_gateway_trace_seconds_count{offer="demo-slow"} >= 2')


async def test_every_rule_and_every_panel_is_evaluated_on_the_running_system(observed: System, tmp_path: Path) -> None:
    async with prometheus(observed, tmp_path) as running:
        await clicked(observed, running)
        ups = {found["metric"]["job"]: found["value"][1] for found in await running.query("up")}
        assert ups == dict.fromkeys(JOBS, "1")

        async with asyncio.timeout(60):
            while True:
                groups = (await running.get("rules"))["groups"]
                evaluated = {rule["name"]: rule for group in groups for rule in group["rules"]}
                if all(rule["health"] != "unknown" for rule in evaluated.values()):
                    break
                await asyncio.sleep(0.2)
        assert {name: rule["health"] for name, rule in evaluated.items()} == {
            rule.get("alert") or rule["record"]: "ok" for rule in rules()
        }
        empty = [query.place for query in (*rule_queries(), *panel_queries()) if not await running.query(query.expr)]
        # What fires, what drifts, what runs out and who breaks: a healthy system has none of it.
        assert set(empty) <= {
            *(rule["alert"] for rule in rules() if "alert" in rule),
            "clicktrace:refused_leases:ratio5m",
            "clicktrace:broken_proxy_walks:ratio10m",
            "Until no IP is free A",
            "Traces that break at the proxy A",
            "Who waits for an IP A",
            "Visitors waiting, traces running C",
        }

        stored = set(await running.get("label/__name__/values"))
        for metric in known():
            if metric.name not in QUIET:
                assert set(metric.series) <= stored, metric.name


# Nothing of this happens in a healthy run of the demo offers, none of which has a webhook.
QUIET = {
    "clicktrace_gateway_webhooks_total",
    "clicktrace_gateway_offer_drifts",
    "clicktrace_pool_waiting",
    "clicktrace_gateway_visitors_left_total",
}


async def test_counts_are_those_of_the_clicks_and_lead_to_their_traces(observed: System, tmp_path: Path) -> None:
    async with prometheus(observed, tmp_path) as running:
        await running.until("count(up == 1) == 3")
        landings = 'clicktrace_gateway_clicks_total{offer="demo",answer="LANDING"}'
        before = await running.value(landings)
        await observed.rested()
        answer = await observed.click("offer=demo&gclid=counted")
        await running.until(f"{landings} == {before + 1}")
        click = await observed.ended(answer.click_id)
        began = time.time() - 600
        found = await running.get(
            "query_exemplars", query="clicktrace_gateway_visitor_seconds_bucket", start=str(began), end=str(time.time())
        )
        traces = {exemplar["labels"]["trace_id"] for series in found for exemplar in series["exemplars"]}
        assert click.otel_trace_id in traces


async def test_a_chain_that_breaks_is_seen_as_drift(observed: System, tmp_path: Path) -> None:
    async with (
        prometheus(observed, tmp_path) as running,
        channel(f"dns:///127.0.0.1:{observed.ports['grpc']}") as opened,
    ):
        await running.until("count(up == 1) == 3")
        stub: Any = pb_grpc.OfferAdminStub(opened)
        urls = {
            name: (await stub.GetOffer(pb.GetOfferRequest(name=name))).offer.tracking_url
            for name in ("demo", "demo-broken")
        }
        offer = pb.Offer(name="changes", tracking_url=urls["demo"])
        await stub.CreateOffer(pb.CreateOfferRequest(offer=offer))
        for number in range(LEARNED_FROM):
            if number % 10 == 0:
                await observed.rested()
            await observed.click(f"offer=changes&gclid=usual-{number}")
        await running.until(f'clicktrace_gateway_traces_total{{offer="changes",result="LANDED"}} == {LEARNED_FROM}')
        clicks: Any = pb_grpc.ClickLogStub(opened)
        async with asyncio.timeout(30):
            while True:
                told = await clicks.ListOfferHealth(pb.ListOfferHealthRequest(offer="changes"))
                if told.offers[0].shape.chains == LEARNED_FROM:
                    break
                await asyncio.sleep(0.1)
        change = pb.UpdateOfferRequest(offer=pb.Offer(name="changes", tracking_url=urls["demo-broken"]))
        change.update_mask.paths.append("tracking_url")
        await stub.UpdateOffer(change)
        await observed.rested()
        await observed.click("offer=changes&gclid=broken")
        await running.until('clicktrace_gateway_offer_drifts{offer="changes",kind="BROKEN_HOP"} == 1')
        assert await running.value('clicktrace_gateway_drifted_chains_total{offer="changes",kind="BROKEN_HOP"}') == 1


def test_the_rules_are_valid_and_pass_their_unit_tests(promtool: str) -> None:
    for arguments in (("check", "rules", str(RULES)), ("test", "rules", str(RULES_TEST))):
        done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "SUCCESS" in done.stdout


@pytest.mark.parametrize(("threshold", "changed"), [("> 0.8", "> 0.9"), ("> 0.01", "> 0.5"), ("> 300", "> 900")])
def test_the_unit_tests_notice_a_rule_that_is_wrong(
    promtool: str, tmp_path: Path, threshold: str, changed: str
) -> None:
    wrong = RULES.read_text().replace(threshold, changed)
    assert wrong != RULES.read_text()
    (tmp_path / RULES.name).write_text(wrong)
    tests = tmp_path / RULES_TEST.name
    tests.write_text(RULES_TEST.read_text())
    done = subprocess.run([promtool, "test", "rules", str(tests)], capture_output=True, text=True, check=False)
    assert done.returncode != 0


def commands(page: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text()
    return [
        line
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]


def test_the_alerts_page_runs_the_unit_tests_as_they_stand(promtool: str) -> None:
    (command,) = [line for line in commands("alerts.md") if line.startswith("promtool")]
    done = subprocess.run([promtool, *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", [line for line in commands("alerts.md") if line.startswith("grpcurl")])
def test_what_the_alerts_page_tells_to_look_at_is_there(grpcurl: str, observed: System, command: str) -> None:
    arguments = on_the_ports_of(observed, command)[1:]
    done = subprocess.run([grpcurl, *arguments], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), dict)


@pytest.mark.parametrize("command", commands("metrics.md"))
def test_the_metrics_page_shows_where_metrics_are(observed: System, command: str) -> None:
    done = subprocess.run(on_the_ports_of(observed, command), capture_output=True, text=True, check=True, timeout=30)
    assert re.search(r"^# HELP clicktrace_", done.stdout, re.MULTILINE)
