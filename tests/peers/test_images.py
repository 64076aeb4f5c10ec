"""The images: built with what is here, on a base made here, offline, and run as Kubernetes would run them.

A read-only root, a numeric user, memory and CPU limits, no capabilities; then a click goes through all three.
"""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.system import ROOT, System, state_directory

MISSING = [name for name in ("buildah", "podman", "runc", "mmdebstrap") if shutil.which(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"missing, from Debian: {' '.join(MISSING)}"),
    pytest.mark.timeout(400),
]
BASE = "localhost/clicktrace-test-base:1"
SERVICES = ("gateway", "pool_manager", "tracer")


def run(*command: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Makes a base image out of Debian packages, once a machine: no registry of images is in reach here."""
    if BASE not in run("buildah", "images", "--format", "{{.Name}}:{{.Tag}}"):
        folder = tmp_path_factory.mktemp("base")
        packages = "--include=python3,python3-venv,python3-pip,ca-certificates"
        run("mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", packages, "bookworm", f"{folder}/base.tar")
        (folder / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
        run("buildah", "build", "--isolation=chroot", "-t", BASE, str(folder))
    return BASE


@pytest.fixture(scope="session")
def images(base: str) -> str:
    """Builds the three images from a wheel house, without asking any index; returns their tag."""
    if not any((ROOT / "wheels").glob("*.whl")):
        run("make", "wheels")
    build("test", base)
    return "test"


def build(tag: str, base: str, *more: str) -> None:
    arguments = " ".join(["--isolation=chroot", "--pull-never", *more])
    run("make", "images", f"TAG={tag}", environment={"BUILDER": "buildah", "BASE": base, "BUILD_ARGS": arguments})


def name_of(service: str, tag: str) -> str:
    return f"localhost/clicktrace-{service.replace('_', '-')}:{tag}"


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_in_an_image(images: str, service: str) -> None:
    image = json.loads(run("podman", "inspect", name_of(service, images)))[0]
    config = image["Config"]
    assert config["User"] == "10001:10001"
    assert config["Cmd"] == [f"services.{service}"]
    assert image["Healthcheck"]["Test"][:3] == ["CMD", "python", "-m"]
    with mounted(name_of(service, images)) as root:
        assert [path.name for path in (root / "app" / "services").iterdir() if path.is_dir()] == [service]
        tools = ("gcc", "cc", "g++", "make", "ld")
        assert [tool for tool in tools if shutil.which(tool, path=f"{root}/usr/bin:{root}/usr/local/bin")] == []
        assert not list((root / "opt" / "clicktrace").rglob("pip"))


@contextmanager
def mounted(image: str) -> Iterator[Path]:
    container = run("buildah", "from", "--pull-never", image).strip()
    try:
        yield Path(run("buildah", "mount", container).strip())
    finally:
        run("buildah", "rm", container)


def test_the_same_commit_gives_the_same_layers(images: str, base: str) -> None:
    build("again", base, "--no-cache")

    def layers(tag: str) -> Sequence[str]:
        found: list[str] = json.loads(run("podman", "inspect", name_of("tracer", tag)))[0]["RootFS"]["Layers"]
        return found

    assert layers("again") == layers(images)


@contextmanager
def container(service: str, tag: str, variables: dict[str, str], *options: str) -> Iterator[str]:
    """Runs a service of an image as a pod would, and yields the name of its container."""
    name = f"clicktrace-test-{os.getpid()}-{service}"
    settings = [part for key, value in variables.items() for part in ("--env", f"{key}={value}")]
    run(
        *("podman", "--runtime", "runc", "run", "--detach", "--name", name, "--network", "host", "--no-healthcheck"),
        *("--read-only", "--read-only-tmpfs=false", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("--ulimit", "nofile=4096:4096", "--ulimit", "nproc=500:500", "--cpus", "1", *options, *settings),
        name_of(service, tag),
    )
    try:
        yield name
    finally:
        subprocess.run(["podman", "stop", "--time", "20", name], capture_output=True, check=False)
        logs = subprocess.run(["podman", "logs", name], capture_output=True, text=True, check=False)
        print(f"== {service}\n{logs.stdout[-2000:]}{logs.stderr[-2000:]}")
        subprocess.run(["podman", "rm", "--force", name], capture_output=True, check=False)


async def healthy(name: str, port: int) -> None:
    probe = ["podman", "exec", name, "python", "-m", "libs.common.rpc.probe", f"127.0.0.1:{port}"]
    async with asyncio.timeout(60):
        while subprocess.run(probe, capture_output=True, check=False).returncode:
            await asyncio.sleep(0.2)


async def test_a_click_goes_through_all_three_containers_under_their_limits(images: str) -> None:
    """Takes the demo world and the database of `make run`, and the three services from images in its place."""
    with state_directory() as state, System(state, ("--cooldown", "1s")) as system, ExitStack() as stack:
        url = (state / "database-url").read_text().strip()
        free = dict(zip(("http", "internal", "grpc", "pool", "tracer"), System(state).ports.values(), strict=False))
        health = dict(zip(SERVICES, list(System(state).ports.values())[:3], strict=True))
        common = {"LOG_FORMAT": "json"}
        tracer = {
            "TRACER_LISTEN": f"127.0.0.1:{free['tracer']}",
            "TRACER_METRICS_LISTEN": "127.0.0.1:0",
            "TRACER_HEALTH_LISTEN": f"127.0.0.1:{health['tracer']}",
            "TRACER_ALLOWED_NETWORKS": "127.0.0.0/8",
            "TRACER_ALLOWED_HOSTS": ".localhost",
        }
        pool = {
            "DATABASE_URL": url,
            "POOL_LISTEN": f"127.0.0.1:{free['pool']}",
            "POOL_METRICS_LISTEN": "127.0.0.1:0",
            "POOL_HEALTH_LISTEN": f"127.0.0.1:{health['pool_manager']}",
            "POOL_CREDENTIALS_DIR": "/etc/clicktrace/credentials",
        }
        gateway = {
            "DATABASE_URL": url,
            "GATEWAY_LISTEN": f"127.0.0.1:{free['http']}",
            "GATEWAY_INTERNAL_LISTEN": f"127.0.0.1:{free['internal']}",
            "GATEWAY_GRPC_LISTEN": f"127.0.0.1:{free['grpc']}",
            "GATEWAY_HEALTH_LISTEN": f"127.0.0.1:{health['gateway']}",
            "GATEWAY_POOL_TARGET": f"dns:///127.0.0.1:{free['pool']}",
            "GATEWAY_TRACER_TARGET": f"dns:///127.0.0.1:{free['tracer']}",
        }
        secrets = readable_copy(state / "credentials", state.parent / "for-the-container")
        mount = ("--volume", f"{secrets}:/etc/clicktrace/credentials:ro")
        names = [
            stack.enter_context(container("tracer", images, common | tracer, "--memory", "768m")),
            stack.enter_context(container("pool_manager", images, common | pool, "--memory", "512m", *mount)),
            stack.enter_context(container("gateway", images, common | gateway, "--memory", "1g")),
        ]
        for name, service in zip(names, ("tracer", "pool_manager", "gateway"), strict=True):
            await healthy(name, health[service])
        in_containers = System(state, ports=system.ports | free)
        answer = await in_containers.click("offer=demo&gclid=in-a-container")
        assert answer.status == 302
        assert answer.params["gclid"] == "in-a-container"
        assert "clickid" in answer.params
        for name in names:
            assert run("podman", "exec", name, "python", "-c", "import os; print(os.getuid())").strip() == "10001"


def readable_copy(source: Path, target: Path) -> Path:
    """Copies secrets so that the user of a container may read them, as Kubernetes mounts a Secret."""
    shutil.copytree(source, target)
    for path in (target, *target.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return target
