"""What Kubernetes would get: the manifests as kustomize renders them, and the rules they are held to."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
COMPONENTS = sorted(path.name for path in (K8S / "components").iterdir())
OVERLAYS = sorted(path.name for path in (K8S / "overlays").iterdir())
SERVICES = {"gateway": "GATEWAY_", "pool-manager": "POOL_", "tracer": "TRACER_"}

Manifest = dict[str, Any]


def kustomize() -> list[str] | None:
    """Returns the command that renders, or None where there is none."""
    if path := shutil.which("kustomize"):
        return [path, "build"]
    if path := shutil.which("kubectl"):
        version = subprocess.run([path, "version", "--client"], capture_output=True, text=True, check=False)
        # Older ones do not know components.
        if "Kustomize Version: v5" in version.stdout:
            return [path, "kustomize"]
    return None


@cache
def render(base: str, components: tuple[str, ...] = ()) -> Sequence[Manifest]:
    """Renders `base`, a folder below k8s, with components on top; AssertionError with what kustomize says."""
    folder = K8S / base
    if components:
        name = hashlib.sha256("/".join([base, *components]).encode()).hexdigest()[:16]
        folder = ROOT / ".build" / "k8s" / name
        folder.mkdir(parents=True, exist_ok=True)
        listed = [os.path.relpath(K8S / "components" / component, folder) for component in components]
        kustomization = {"resources": [os.path.relpath(K8S / base, folder)], "components": listed}
        (folder / "kustomization.yaml").write_text(yaml.safe_dump({"namespace": "clicktrace", **kustomization}))
    command = kustomize()
    assert command is not None
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [manifest for manifest in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if manifest]


def of_kind(manifests: Sequence[Manifest], *kinds: str) -> Iterator[Manifest]:
    """Gives the manifests of some kinds."""
    return (manifest for manifest in manifests if manifest["kind"] in kinds)


def named(manifests: Sequence[Manifest], kind: str, name: str) -> Manifest:
    """Returns the one manifest of that kind and name; the hash that kustomize appends to a name may be left out."""
    found = [
        manifest
        for manifest in of_kind(manifests, kind)
        if manifest["metadata"]["name"] == name or manifest["metadata"]["name"].rpartition("-")[0] == name
    ]
    assert len(found) == 1, (kind, name, [manifest["metadata"]["name"] for manifest in found])
    return found[0]


def pods(manifests: Sequence[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Gives the name and the pod template of everything that makes pods."""
    for manifest in of_kind(manifests, "Deployment", "StatefulSet", "Job", "DaemonSet"):
        yield manifest["metadata"]["name"], manifest["spec"]["template"]


def containers(template: Manifest) -> Iterator[Manifest]:
    """Gives every container of a pod."""
    spec = template["spec"]
    yield from (*spec.get("initContainers", ()), *spec["containers"])


def selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """Tells whether a label selector of Kubernetes selects these labels."""
    if not all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for rule in selector.get("matchExpressions", ()):
        value = labels.get(rule["key"])
        holds = {
            "In": value in rule.get("values", ()),
            "NotIn": value not in rule.get("values", ()),
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[rule["operator"]]
        if not holds:
            return False
    return True


def environment(manifests: Sequence[Manifest], service: str) -> dict[str, str]:
    """Returns the variables of a service as its container would see them; secrets are made up."""
    template = named(manifests, "Deployment", service)["spec"]["template"]
    (container,) = template["spec"]["containers"]
    variables: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        config = [
            each
            for each in of_kind(manifests, "ConfigMap")
            if each["metadata"]["name"] == source["configMapRef"]["name"]
        ]
        assert len(config) == 1, source
        variables |= config[0]["data"]
    for entry in container.get("env", ()):
        made_up = "postgresql://u:p@postgres/clicktrace" if entry["name"].startswith("DATABASE_") else "made-up"
        variables[entry["name"]] = entry.get("value", made_up)
    return variables


def restricted_violations(template: Manifest) -> list[str]:
    """Returns what the profile `restricted` of the Pod Security Standards would refuse in a pod."""
    spec = template["spec"]
    of_pod = spec.get("securityContext", {})
    faults = [f"{name} is set" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    allowed_volumes = {
        *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret")
    }
    faults += [
        f"volume {volume['name']} is of a kind that is not allowed"
        for volume in spec.get("volumes", ())
        if not set(volume) - {"name"} <= allowed_volumes
    ]
    for container in containers(template):
        name = container["name"]
        own = container.get("securityContext", {})
        both = of_pod | own
        if own.get("allowPrivilegeEscalation") is not False:
            faults.append(f"{name}: allowPrivilegeEscalation is not false")
        if own.get("privileged"):
            faults.append(f"{name}: privileged")
        if own.get("capabilities", {}).get("drop") != ["ALL"]:
            faults.append(f"{name}: does not drop ALL capabilities")
        if not set(own.get("capabilities", {}).get("add", ())) <= {"NET_BIND_SERVICE"}:
            faults.append(f"{name}: adds capabilities")
        if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
            faults.append(f"{name}: may run as root")
        if both.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
            faults.append(f"{name}: has no seccomp profile")
        if any(port.get("hostPort") for port in container.get("ports", ())):
            faults.append(f"{name}: has a host port")
    return faults
