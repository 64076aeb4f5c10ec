"""A name that was missing for a moment is looked up again, although libcurl would remember for 30 s that it was.

Runs in a mount namespace of its own, in which the names are those of a file that the test writes.
"""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import asyncio, sys
from pathlib import Path
from services.tracer.follow import urls
from services.tracer.model.exchange import BodyUse
from services.tracer.model.request import Policy, Proxy
from services.tracer.fetch.driver import Driver
from services.tracer.fetch.options import TlsTrust
from services.tracer.fetch.session import Fetcher
from tests.integration.tracer.rig import OPEN_POLICY
from tests.support.origin import Origin, page
from tests.support.scripted_proxy import ForwardProxy

async def landing(request, wire):
    return page("landed")

async def ask(fetcher, url, proxy):
    with fetcher.session(proxy, Policy()) as session:
        found = await session.fetch(
            urls.parse(url), referrer="", timeout=10, body_limit=1000, plan=lambda status, headers: BodyUse.READ
        )
    return found.failure.reason if found.failure else found.status

async def main():
    async with Driver() as driver, Origin(landing) as origin, ForwardProxy(origin) as front:
        fetcher = Fetcher(driver, OPEN_POLICY, TlsTrust())
        proxy = Proxy("late.test", front.port) if sys.argv[1] == "proxy" else None
        url = "http://a.test/" if proxy else f"http://late.test:{origin.port}/"
        said = [await ask(fetcher, url, proxy), await ask(fetcher, url, proxy)]
        Path("/etc/hosts").write_text("127.0.0.1 late.test\\n")
        said += [await ask(fetcher, url, proxy), await ask(fetcher, url, proxy)]
        print("said", *said)

asyncio.run(main())
"""


@pytest.mark.parametrize(("way", "reason"), [("direct", "NAME_UNRESOLVED"), ("proxy", "PROXY_NAME_UNRESOLVED")])
def test_a_name_that_was_missing_is_asked_for_again(tmp_path: Path, way: str, reason: str) -> None:
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a mount namespace of its own needs root")
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n")
    (tmp_path / "nsswitch").write_text("hosts: files\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    mounted = (
        f"mount --bind {tmp_path}/hosts /etc/hosts && mount --bind {tmp_path}/nsswitch /etc/nsswitch.conf"
        f' && exec "$0" {tmp_path}/script.py {way}'
    )
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-c", mounted, sys.executable],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[4],
        env={"PYTHONPATH": str(Path(__file__).parents[4]), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )
    assert f"said {reason} {reason} 200 200" in ran.stdout, ran.stderr
