"""The overlays before a real kube-apiserver, and tracers scaled by the real autoscaler.

The programs come from Debian (etcd) and from the sources of Kubernetes; building those takes too long for every run, so
a machine without them says what it misses.
"""

import subprocess
from collections.abc import Iterator

import pytest

from tests.peers.test_manifests import CUSTOM
from tests.support.control_plane import ControlPlane, missing
from tests.support.manifests import OVERLAYS, SERVICES, kustomize, of_kind, render

pytestmark = [
    pytest.mark.skipif(
        bool(missing()), reason=f"missing: {', '.join(missing())} (etcd-server; Kubernetes 1.30 by go build)"
    ),
    pytest.mark.skipif(kustomize() is None, reason="kustomize is missing"),
    pytest.mark.timeout(600),
]
ADDRESS = "10.255.0.1"


@pytest.fixture
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    subprocess.run(["ip", "address", "replace", f"{ADDRESS}/32", "dev", "lo"], check=True)
    try:
        with ControlPlane(tmp_path_factory.mktemp("control-plane"), ADDRESS) as running:
            yield running
    finally:
        subprocess.run(["ip", "address", "delete", f"{ADDRESS}/32", "dev", "lo"], check=True)


def bring(plane: ControlPlane, overlay: str) -> None:
    manifests = render(f"overlays/{overlay}")
    kinds = {(*each["apiVersion"].split("/"), each["kind"]) for each in of_kind(manifests, *CUSTOM)}
    plane.define(sorted(kinds))
    plane.apply(list(of_kind(manifests, "Namespace")))
    plane.apply([each for each in manifests if each["kind"] != "Namespace"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_admitted_and_rolls_out(plane: ControlPlane, overlay: str) -> None:
    """The namespace enforces `restricted`, so a pod that is not would never be made."""
    bring(plane, overlay)
    for service in SERVICES:
        plane.kubectl("-n", "clicktrace", "rollout", "status", f"deployment/{service}", "--timeout=90s")
    refused = [event["message"] for event in plane.get("events")["items"] if event["reason"] == "FailedCreate"]
    assert refused == []


def test_tracers_scale_on_traces_in_flight(plane: ControlPlane) -> None:
    bring(plane, "production")
    plane.until(lambda: len(plane.ready("tracer")) == 2, "two tracers run")
    # 4,500 traces at 600 a pod are 7.5 pods.
    plane.traces_in_flight = 4_500
    plane.until(lambda: len(plane.ready("tracer")) == 8, "eight tracers run")
    (scaler,) = [each for each in plane.get("hpa")["items"] if each["metadata"]["name"] == "tracer"]
    conditions = {each["type"]: each["status"] for each in scaler["status"]["conditions"]}
    assert (conditions["AbleToScale"], conditions["ScalingActive"]) == ("True", "True")
    # With the load gone nothing happens for five minutes: those pods may be wanted again.
    plane.traces_in_flight = 0
    plane.until(lambda: stabilizes(plane), "the autoscaler waits before it scales down")
    assert len(plane.ready("tracer")) == 8


def stabilizes(plane: ControlPlane) -> bool:
    (scaler,) = [each for each in plane.get("hpa")["items"] if each["metadata"]["name"] == "tracer"]
    return any(
        each["type"] == "AbleToScale" and each["reason"] == "ScaleDownStabilized"
        for each in scaler["status"]["conditions"]
    )
