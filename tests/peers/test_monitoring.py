"""The lines of docs/monitoring.md and docs/clicks.md that need grpcurl and openssl."""

import os
import shlex
import shutil
import subprocess

import pytest

from services.gateway.webhooks.delivery import signing_key
from tests.support.docs import ROOT, commands, fitted
from tests.support.system import System

_DEADLINE_EXCEEDED = 64 + 4


@pytest.mark.parametrize("command", commands("docs/monitoring.md", "grpcurl"))
def test_the_grpcurl_lines(grpcurl: str, system: System, command: str) -> None:
    arguments = shlex.split(fitted(command, system))[1:]
    done = subprocess.run([grpcurl, *arguments], capture_output=True, text=True, check=False, timeout=60)
    # Those that watch go on for as long as they are let.
    assert done.returncode == (_DEADLINE_EXCEEDED if "-max-time" in command else 0), done.stderr


def test_the_key_of_an_offer_as_its_operator_computes_it() -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing: apt-get install openssl")
    (command,) = commands("docs/clicks.md", "printf")
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env={**os.environ, "GATEWAY_WEBHOOK_SECRET": "marker"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().encode() == signing_key("marker", "demo")
