"""A real control plane on this machine: etcd, kube-apiserver and kube-controller-manager, without nodes.

What a node would do, saying that a pod runs, and what a metrics adapter would do, saying how busy it is, is done here;
whether manifests are admitted, and what the autoscaler makes of the numbers, is decided by the real thing.
"""

import json
import shutil
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from local.ports import free_ports

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
TOKEN = "made-up-for-tests"
NAMESPACE = "clicktrace"
METRIC = "clicktrace_tracer_traces_in_flight"


def missing() -> list[str]:
    """Returns the programs that are not here."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


@dataclass
class ControlPlane:
    """The control plane; a context manager that starts and stops it. `address` is one that is not loopback."""

    folder: Path
    address: str
    traces_in_flight: int = 0
    """The traces that all ready tracers share evenly."""
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        etcd, peer, api, self._metrics_port = free_ports(4)
        self._write_identity(api)
        with self._stack:
            data = self.folder / "etcd"
            self._start(
                *("etcd", "--data-dir", str(data), "--unsafe-no-fsync"),
                *(
                    "--listen-client-urls",
                    f"http://127.0.0.1:{etcd}",
                    "--advertise-client-urls",
                    f"http://127.0.0.1:{etcd}",
                ),
                *(
                    "--listen-peer-urls",
                    f"http://127.0.0.1:{peer}",
                    "--initial-advertise-peer-urls",
                    f"http://127.0.0.1:{peer}",
                ),
                *("--initial-cluster", f"default=http://127.0.0.1:{peer}"),
            )
            self._start(
                *("kube-apiserver", f"--etcd-servers=http://127.0.0.1:{etcd}", f"--secure-port={api}"),
                *(f"--bind-address={self.address}", f"--cert-dir={self.folder}/certificates"),
                *(f"--token-auth-file={self.folder}/tokens.csv", "--authorization-mode=RBAC"),
                *("--service-account-issuer=https://test.invalid", "--service-cluster-ip-range=10.96.0.0/16"),
                f"--service-account-key-file={self.folder}/account.key",
                f"--service-account-signing-key-file={self.folder}/account.key",
                "--enable-aggregator-routing=true",
            )
            self.until(lambda: self.kubectl("get", "--raw", "/readyz", check=False) == "ok", "the API server is ready")
            self._start(
                *("kube-controller-manager", f"--kubeconfig={self.folder}/kubeconfig", "--leader-elect=false"),
                f"--service-account-private-key-file={self.folder}/account.key",
                *("--use-service-account-credentials=false", "--secure-port=0"),
                *(
                    "--horizontal-pod-autoscaler-sync-period=1s",
                    "--horizontal-pod-autoscaler-initial-readiness-delay=1s",
                ),
            )
            self._serve_metrics()
            self._stop = threading.Event()
            node = threading.Thread(target=self._be_the_nodes, daemon=True)
            node.start()
            self._stack.callback(node.join)
            self._stack.callback(self._stop.set)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def kubectl(self, *arguments: str, given: str | None = None, check: bool = True) -> str:
        """Runs the real kubectl; AssertionError with what it says if it fails and `check` is set."""
        done = subprocess.run(
            ["kubectl", f"--kubeconfig={self.folder}/kubeconfig", *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def get(self, what: str, *more: str) -> Any:
        """Returns what kubectl gets, as JSON."""
        return json.loads(self.kubectl("-n", NAMESPACE, "get", what, *more, "-o", "json"))

    def apply(self, manifests: Sequence[Mapping[str, Any]]) -> None:
        """Applies manifests on the server, which validates and admits them."""
        self.kubectl("apply", "--server-side", "-f", "-", given=yaml.safe_dump_all(manifests))

    def define(self, kinds: Sequence[tuple[str, str, str]]) -> None:
        """Makes custom kinds known, each (group, version, kind), with any content."""
        for group, version, kind in kinds:
            plural = f"{kind.lower()}s"
            schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
            spec = {
                "group": group,
                "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural},
                "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
            }
            metadata = {"name": f"{plural}.{group}"}
            self.apply(
                [
                    {
                        "apiVersion": "apiextensions.k8s.io/v1",
                        "kind": "CustomResourceDefinition",
                        "metadata": metadata,
                        "spec": spec,
                    }
                ]
            )
            self.kubectl("wait", "--for=condition=Established", f"crd/{plural}.{group}", "--timeout=30s")

    def until(self, condition: Callable[[], object], what: str, seconds: float = 120) -> None:
        """Waits until a condition holds; AssertionError if it does not in time."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"still not so: {what}"
            time.sleep(0.2)

    def _start(self, program: str, *arguments: str) -> None:
        log = self._stack.enter_context((self.folder / f"{program}.log").open("w"))
        process = subprocess.Popen([program, *arguments], stdout=log, stderr=subprocess.STDOUT, cwd=self.folder)

        def end() -> None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

        self._stack.callback(end)

    def _write_identity(self, port: int) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
        (self.folder / "account.key").write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
        (self.folder / "tokens.csv").write_text(f'{TOKEN},tester,tester,"system:masters"\n')
        cluster = {"server": f"https://{self.address}:{port}", "insecure-skip-tls-verify": True}
        context = {"name": "test", "context": {"cluster": "test", "user": "test"}}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": TOKEN}}],
            "contexts": [context],
        }
        (self.folder / "kubeconfig").write_text(yaml.safe_dump(config))

    # What the nodes would do.

    def _be_the_nodes(self) -> None:
        while not self._stop.wait(0.5):
            for pod in self.get("pods")["items"]:
                if pod["status"].get("phase") == "Pending" and "deletionTimestamp" not in pod["metadata"]:
                    self._run_pod(pod)

    def _run_pod(self, pod: Mapping[str, Any]) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        kinds = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        status = {
            "phase": "Running",
            "startTime": now,
            "conditions": [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in kinds],
        }
        name = pod["metadata"]["name"]
        self.kubectl(
            *("-n", NAMESPACE, "patch", "pod", name, "--subresource=status", "--type=merge"),
            *("-p", json.dumps({"status": status})),
            check=False,
        )

    def ready(self, service: str) -> list[str]:
        """Returns the names of the pods of a service that run."""
        pods = self.get("pods", "-l", f"app.kubernetes.io/name={service}")["items"]
        return [
            pod["metadata"]["name"]
            for pod in pods
            if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
        ]

    # What prometheus-adapter and metrics-server would do.

    def _serve_metrics(self) -> None:
        # The API server made itself a certificate; it serves here too, since nobody verifies it.
        self.until((self.folder / "certificates" / "apiserver.key").exists, "there is a certificate")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(
            self.folder / "certificates" / "apiserver.crt", self.folder / "certificates" / "apiserver.key"
        )
        server = ThreadingHTTPServer((self.address, self._metrics_port), self._handler())
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self._stack.callback(server.server_close)
        self._stack.callback(server.shutdown)
        port = {"port": 443, "targetPort": self._metrics_port, "name": "https"}
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "metrics", "namespace": "kube-system"},
            "spec": {"ports": [port]},
        }
        endpoints = {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {"name": "metrics", "namespace": "kube-system"},
            "subsets": [
                {"addresses": [{"ip": self.address}], "ports": [{"port": self._metrics_port, "name": "https"}]}
            ],
        }
        apis = [
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": f"{version}.{group}"},
                "spec": {
                    "group": group,
                    "version": version,
                    "insecureSkipTLSVerify": True,
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                    "service": {"name": "metrics", "namespace": "kube-system"},
                },
            }
            for group, version in (("custom.metrics.k8s.io", "v1beta2"), ("metrics.k8s.io", "v1beta1"))
        ]
        self.apply([service, endpoints, *apis])

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        plane = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(plane.answer(self.path.partition("?")[0])).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def answer(self, path: str) -> Any:
        """Answers one question of the aggregated metrics APIs."""
        group = path.split("/")[2] if path.count("/") > 1 else ""
        if group == "custom.metrics.k8s.io":
            version = "custom.metrics.k8s.io/v1beta2"
            if METRIC not in path:
                resource = {
                    "name": f"pods/{METRIC}",
                    "namespaced": True,
                    "kind": "MetricValueList",
                    "verbs": ["get"],
                    "singularName": "",
                }
                return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": [resource]}
            names = self.ready("tracer")
            share = self.traces_in_flight * 1000 // max(1, len(names))
            items = [self._value(name, share) for name in names]
            return {"kind": "MetricValueList", "apiVersion": version, "metadata": {}, "items": items}
        version = "metrics.k8s.io/v1beta1"
        if "pods" not in path:
            resource = {
                "name": "pods",
                "namespaced": True,
                "kind": "PodMetrics",
                "verbs": ["get", "list"],
                "singularName": "",
            }
            return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": [resource]}
        pods = self.get("pods")["items"]
        return {
            "kind": "PodMetricsList",
            "apiVersion": version,
            "metadata": {},
            "items": [self._usage(pod) for pod in pods],
        }

    def _value(self, pod: str, millis: int) -> Any:
        described = {"kind": "Pod", "namespace": NAMESPACE, "name": pod, "apiVersion": "/v1"}
        return {"describedObject": described, "metric": {"name": METRIC}, "timestamp": _now(), "value": f"{millis}m"}

    def _usage(self, pod: Any) -> Any:
        """An idle pod: CPU says nothing about a service that waits."""
        containers = [
            {"name": each["name"], "usage": {"cpu": "10m", "memory": "64Mi"}} for each in pod["spec"]["containers"]
        ]
        metadata = {"name": pod["metadata"]["name"], "namespace": NAMESPACE, "labels": pod["metadata"]["labels"]}
        return {"metadata": metadata, "timestamp": _now(), "window": "15s", "containers": containers}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
