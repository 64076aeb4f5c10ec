"""A fork server for tests that start many processes of ours: they load what they need once."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from local.run.forks import ForkServer
from tests.support.system import ROOT


@asynccontextmanager
async def fork_server(
    *modules: str, environment: Mapping[str, str] = os.environ
) -> AsyncIterator[tuple[ForkServer, subprocess.Popen[bytes]]]:
    """Runs a fork server that has loaded `modules` while the block runs; its process is the second of the pair."""
    forks = ForkServer(modules)
    with subprocess.Popen(
        (sys.executable, *forks.arguments),
        cwd=ROOT,
        env=environment,
        pass_fds=(forks.descriptor,),
        stderr=subprocess.PIPE,
    ) as process:
        forks.started()
        try:
            yield forks, process
        finally:
            await forks.close()
            process.terminate()
