"""The manifests: every overlay and combination of components renders, is valid, and agrees with the code.

Run alone by `make k8s-check`.
"""

import ipaddress
import itertools
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from libs.common.observability import telemetry
from libs.common.process.settings import Settings, read
from libs.common.process.values import parse_seconds
from libs.common.rpc import server
from services.gateway import main as gateway_main
from services.gateway.settings import GatewaySettings
from services.pool_manager.settings import PoolSettings
from services.tracer.settings import TracerSettings
from tests.support.manifests import (
    COMPONENTS,
    K8S,
    OVERLAYS,
    ROOT,
    SERVICES,
    Manifest,
    containers,
    environment,
    kustomize,
    named,
    of_kind,
    pods,
    render,
    restricted_violations,
    selects,
)

pytestmark = pytest.mark.skipif(
    kustomize() is None, reason="kustomize is missing: go install sigs.k8s.io/kustomize/kustomize/v5@v5.4.3"
)

# The three newest that the validator knows, and the oldest with what the manifests use (a preStop that sleeps).
NEWEST = ("1.37.0", "1.36.0", "1.35.0")
OLD = "1.30.0"
# They are described by no schema of Kubernetes: what matters in them is checked below, one by one.
CUSTOM = {"ScaledObject", "ServiceMonitor", "PrometheusRule", "Certificate", "Issuer"}
# Both would own the autoscaler of the tracers.
EXCLUSIVE = {"hpa-active-traces", "keda"}
SETTINGS: dict[str, type[Settings]] = {
    "gateway": GatewaySettings,
    "pool-manager": PoolSettings,
    "tracer": TracerSettings,
}


def combinations() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every overlay, every component on each and on the base, every pair on the base, and all at once."""
    for base in ("base", *(f"overlays/{name}" for name in OVERLAYS)):
        own = set()
        if base != "base":
            own = {
                name for name in COMPONENTS if f"components/{name}" in (K8S / base / "kustomization.yaml").read_text()
            }
        free = [name for name in COMPONENTS if name not in own and not (name in EXCLUSIVE and own & EXCLUSIVE)]
        yield base, ()
        pairs = itertools.combinations(free, 2) if base == "base" else ()
        for chosen in (*itertools.combinations(free, 1), *pairs):
            if not set(chosen) >= EXCLUSIVE:
                yield base, chosen
        for without in EXCLUSIVE:
            if without in free or own & EXCLUSIVE:
                yield base, tuple(name for name in free if name != without)


@pytest.mark.parametrize(("base", "components"), list(dict.fromkeys(combinations())))
def test_every_combination_is_valid(base: str, components: tuple[str, ...]) -> None:
    manifests = render(base, components)
    identities = [(each["kind"], each["metadata"]["name"]) for each in manifests]
    assert len(set(identities)) == len(identities)
    check_schemas(manifests, NEWEST[0])
    check_references(manifests)
    for name, template in pods(manifests):
        assert restricted_violations(template) == [], name
        assert template["spec"]["automountServiceAccountToken"] is False, name
        for container in containers(template):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, name
            assert "memory" in container["resources"]["limits"], name


def check_schemas(manifests: Any, version: str) -> None:
    for manifest in manifests:
        if manifest["kind"] not in CUSTOM:
            check_schema(json.dumps(manifest, sort_keys=True), version)


# The combinations have most of their manifests in common.
@cache
def check_schema(manifest: str, version: str) -> None:
    kubernetes_validate.validate(json.loads(manifest), version, strict=True)


def check_references(manifests: Any) -> None:
    """Names, ports and selectors that one manifest uses exist in another."""
    templates = dict(pods(manifests))
    labels = {name: template["metadata"]["labels"] for name, template in templates.items()}
    ports = {
        name: {port["name"] for each in containers(template) for port in each.get("ports", ())}
        for name, template in templates.items()
    }

    def chosen(selector: Manifest) -> list[str]:
        return [name for name in labels if selects(selector, labels[name])]

    for service in of_kind(manifests, "Service"):
        (pod,) = chosen({"matchLabels": service["spec"]["selector"]})
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports[pod], service["metadata"]["name"]
    for budget in of_kind(manifests, "PodDisruptionBudget"):
        assert chosen(budget["spec"]["selector"]) == [budget["metadata"]["name"]]
        assert (budget["spec"]["maxUnavailable"], budget["spec"]["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    for scaler in of_kind(manifests, "HorizontalPodAutoscaler", "ScaledObject"):
        assert scaler["spec"]["scaleTargetRef"]["name"] in templates
    for policy in of_kind(manifests, "NetworkPolicy"):
        names = chosen(policy["spec"]["podSelector"])
        assert names, policy["metadata"]["name"]
        open_ports = {port["port"] for rule in policy["spec"].get("ingress", ()) for port in rule.get("ports", ())}
        assert open_ports <= set().union(*(ports[name] for name in names)), policy["metadata"]["name"]
    check_volumes_and_configs(manifests)
    check_ingresses(manifests)


def check_volumes_and_configs(manifests: Any) -> None:
    configs = {each["metadata"]["name"] for each in of_kind(manifests, "ConfigMap")}
    claims = {
        claim["metadata"]["name"]
        for each in of_kind(manifests, "StatefulSet")
        for claim in each["spec"]["volumeClaimTemplates"]
    }
    for name, template in pods(manifests):
        volumes = template["spec"].get("volumes", ())
        assert {each["configMap"]["name"] for each in volumes if "configMap" in each} <= configs, name
        for container in containers(template):
            assert {source["configMapRef"]["name"] for source in container.get("envFrom", ())} <= configs, name
            mounted = {mount["name"] for mount in container.get("volumeMounts", ())}
            assert mounted <= {volume["name"] for volume in volumes} | claims, name


def check_ingresses(manifests: Any) -> None:
    services = {each["metadata"]["name"]: each["spec"]["ports"] for each in of_kind(manifests, "Service")}
    routes = (ROOT / "services" / "gateway" / "http" / "click.py").read_text()
    for ingress in of_kind(manifests, "Ingress"):
        for path in (path for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]):
            backend = path["backend"]["service"]
            assert backend["port"]["name"] in {port["name"] for port in services[backend["name"]]}
            assert f'"{path["path"]}"' in routes


@pytest.mark.parametrize("version", [*NEWEST[1:], OLD])
@pytest.mark.parametrize("base", [f"overlays/{name}" for name in OVERLAYS])
def test_the_overlays_are_valid_in_other_versions(base: str, version: str) -> None:
    check_schemas(render(base), version)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("base", ["base", *(f"overlays/{name}" for name in OVERLAYS)])
def test_the_settings_exist_and_load(base: str, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = render(base)
    variables = environment(manifests, service)
    cls = SETTINGS[service]
    prefix = SERVICES[service]
    known = {f"{prefix}{name}".upper() for name in cls.model_fields} | {
        "LOG_LEVEL",
        "LOG_FORMAT",
        "DATABASE_URL",
        "DATABASE_LISTEN_URL",
    }
    for name, value in variables.items():
        assert name in known or name.startswith(("OTEL_", "POD_")), name
        monkeypatch.setenv(name, value)
    loaded: Any = read(cls)
    (container,) = named(manifests, "Deployment", service)["spec"]["template"]["spec"]["containers"]
    ports = {port["containerPort"] for port in container["ports"]}
    listened = {getattr(loaded, name) for name in cls.model_fields if name.endswith("listen")} - {None}
    assert {address.port for address in listened} == ports
    assert all(address.host == "0.0.0.0" for address in listened)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["grpc"]["port"] == loaded.health_listen.port
    assert container["readinessProbe"]["grpc"]["service"] != container["livenessProbe"]["grpc"]["service"]
    assert container["args"] == [f"services.{service.replace('-', '_')}"]


@pytest.mark.parametrize("base", ["base", *(f"overlays/{name}" for name in OVERLAYS)])
def test_targets_are_services_of_the_manifests(base: str) -> None:
    manifests = render(base)
    variables = environment(manifests, "gateway")
    for name, service in (("GATEWAY_POOL_TARGET", "pool-manager"), ("GATEWAY_TRACER_TARGET", "tracer")):
        match = re.fullmatch(r"dns:///([a-z-]+):(\d+)", variables[name])
        assert match is not None
        assert match[1] == service
        found = named(manifests, "Service", service)
        # Behind a virtual address all calls of a connection would go to one pod.
        assert found["spec"]["clusterIP"] == "None"
        assert int(match[2]) in {port["port"] for port in found["spec"]["ports"]}


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("base", ["base", *(f"overlays/{name}" for name in OVERLAYS)])
def test_the_drain_budget_adds_up(base: str, service: str) -> None:
    """A stop that is cut short loses clicks: what it may take, in order, must be below the grace of the pod."""
    manifests = render(base)
    variables = environment(manifests, service)
    prefix = SERVICES[service]
    spec = named(manifests, "Deployment", service)["spec"]["template"]["spec"]
    walk = parse_seconds(environment(manifests, "gateway").get("GATEWAY_TRACE_TIMEOUT", "60s"))
    grace = parse_seconds(variables[f"{prefix}GRACE"])
    needed = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] + grace
    needed += parse_seconds(variables.get(f"{prefix}DRAIN_DELAY", "0"))
    if service == "gateway":
        needed += gateway_main._VISITORS_SECONDS + gateway_main._CLOSE_SECONDS
    needed += telemetry._FLUSH_SECONDS
    assert needed + 5 <= spec["terminationGracePeriodSeconds"]
    # What runs must be able to end by itself.
    longest = {
        "gateway": walk,
        "tracer": walk,
        "pool-manager": parse_seconds(environment(manifests, "gateway")["GATEWAY_MAX_WAIT"]),
    }
    assert grace > longest[service]
    assert dict(server._OPTIONS)["grpc.max_connection_age_grace_ms"] / 1000 > walk


def test_only_tracers_and_probes_leave_the_cluster_and_never_for_what_is_private() -> None:
    manifests = render("base")
    leaving = [
        policy
        for policy in of_kind(manifests, "NetworkPolicy")
        for rule in policy["spec"].get("egress", ())
        for peer in rule.get("to", ())
        if "ipBlock" in peer
    ]
    assert {policy["metadata"]["name"] for policy in leaving} == {"leave-the-cluster"}
    policy = leaving[0]
    who = [name for name, each in pods(manifests) if selects(policy["spec"]["podSelector"], each["metadata"]["labels"])]
    assert sorted(who) == ["pool-manager", "tracer"]
    blocks = [peer["ipBlock"] for rule in policy["spec"]["egress"] for peer in rule["to"]]
    # The first and the last of each range: an `except` that is too narrow lets one of them through.
    for private in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8"):
        ends = ipaddress.ip_network(private)
        assert not any(lets_through(block, str(end)) for block in blocks for end in (ends[0], ends[-1])), private
    for address in ("fd00::1", "fc00::1", "fdff:ffff::1", "fe80::1", "::1"):
        assert not any(lets_through(block, address) for block in blocks), address
    for address in ("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"):
        assert any(lets_through(block, address) for block in blocks), address
    denied = named(manifests, "NetworkPolicy", "default-deny")["spec"]
    assert (denied["podSelector"], denied["policyTypes"]) == ({}, ["Ingress", "Egress"])


def lets_through(block: Manifest, address: str) -> bool:
    target = ipaddress.ip_address(address)

    def within(network: str) -> bool:
        return target in ipaddress.ip_network(network)

    return within(block["cidr"]) and not any(within(network) for network in block.get("except", ()))


def scaler_of_tracers(manifests: Any) -> Manifest:
    spec: Manifest = named(manifests, "HorizontalPodAutoscaler", "tracer")["spec"]
    return spec


def test_keda_and_the_plain_autoscaler_do_the_same() -> None:
    plain = scaler_of_tracers(render("base", ("hpa-active-traces",)))
    manifests = render("base", ("keda",))
    assert [each["metadata"]["name"] for each in of_kind(manifests, "HorizontalPodAutoscaler")] == [
        "gateway",
        "pool-manager",
    ]
    keda = named(manifests, "ScaledObject", "tracer")["spec"]
    assert (keda["minReplicaCount"], keda["maxReplicaCount"]) == (plain["minReplicas"], plain["maxReplicas"])
    assert keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == plain["behavior"]
    traces, cpu = keda["triggers"]
    by_traces, by_cpu = plain["metrics"]
    assert traces["metadata"]["threshold"] == by_traces["pods"]["target"]["averageValue"]
    assert by_traces["pods"]["metric"]["name"] in traces["metadata"]["query"]
    assert int(cpu["metadata"]["value"]) == by_cpu["resource"]["target"]["averageUtilization"]


def test_tracers_scale_up_at_once_and_down_slowly_before_they_are_full() -> None:
    manifests = render("overlays/production")
    spec = scaler_of_tracers(manifests)
    assert spec["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300
    limit = int(environment(manifests, "tracer")["TRACER_MAX_TRACES"])
    assert 0.4 <= int(spec["metrics"][0]["pods"]["target"]["averageValue"]) / limit <= 0.8


def test_every_metric_that_the_manifests_name_exists() -> None:
    code = "\n".join(path.read_text() for folder in ("libs", "services") for path in (ROOT / folder).rglob("*.py"))
    known = set(re.findall(r'"(clicktrace_[a-z0-9_]+)"', code))
    suffix = re.compile(r"_(total|created|bucket|count|sum)$")
    for path in sorted((K8S / "components").rglob("*.*")):
        if path.suffix not in {".yaml", ".json"} or "test" in path.name:
            continue
        for name in set(re.findall(r"\bclicktrace_[a-z0-9_]+", path.read_text())):
            recorded = f":{name}" in path.read_text()
            assert name in known or suffix.sub("", name) in known or recorded, (path.name, name)


def test_the_operator_gets_the_rules_that_are_tested() -> None:
    (rule,) = of_kind(render("base", ("monitoring",)), "PrometheusRule")
    tested = yaml.safe_load((K8S / "components" / "monitoring" / "rules" / "clicktrace.rules.yaml").read_text())
    assert rule["spec"] == tested, "run make k8s-rules"


def test_the_images_are_those_that_are_built() -> None:
    script = (K8S / "images.sh").read_text()
    assert "clicktrace-${service//_/-}" in script
    ours = {each["image"].partition(":")[0] for _, template in pods(render("base")) for each in containers(template)}
    assert ours == {f"clicktrace-{name}" for name in SERVICES}
    for name in SERVICES:
        assert (ROOT / "services" / name.replace("-", "_") / "__main__.py").is_file()


def test_nothing_secret_is_in_the_base_or_in_production() -> None:
    for base in ("base", "overlays/production"):
        assert list(of_kind(render(base), "Secret")) == []
    used = set()
    for _, template in pods(render("overlays/production")):
        used |= set(re.findall(r"'secretKeyRef': \{[^}]*'name': '([a-z-]+)'", str(template)))
    documented = (ROOT / "docs" / "kubernetes.md").read_text()
    for name in used:
        assert f"`{name}`" in documented or f" {name} " in documented, name


def test_paths_in_the_documentation_exist() -> None:
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    for path in re.findall(r"`(k8s/[A-Za-z0-9_./-]+)`", text):
        assert (ROOT / Path(path)).exists(), path
