"""Proves that a pool is filled from a file by one command: planned first, safe to repeat, and untouched by a file
with a fault.
"""

import asyncio
import os
import re
import shlex
from pathlib import Path

import pytest

from libs.common.errors import ClicktraceError
from libs.common.process.values import Address
from services.pool_manager.cli import provision
from services.pool_manager.inventory.file import read_rows
from services.pool_manager.settings import ProvisionSettings
from tests.integration.pool_manager.rig import ROOT, serve_in_process
from tests.integration.pool_manager.store import Pool, rows

PAGE = (ROOT / "docs" / "pool.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^make provision .*$", PAGE, re.MULTILINE)
QUESTIONS = re.findall(r"^(?:SELECT)[^;]+;", PAGE, re.MULTILINE)
LUNA = ROOT / "services" / "pool_manager" / "examples" / "luna.csv"


async def test_the_production_set_fills_a_pool_once(
    database: str, pool: Pool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve_in_process(database, operator_token="open sesame") as manager:
        monkeypatch.setenv("POOL_TARGET", manager.target)
        monkeypatch.setenv("POOL_OPERATOR_TOKEN", "open sesame")
        config = ProvisionSettings()
        assert await provision(LUNA, config, dry_run=True) == 0
        assert await rows(pool, "SELECT * FROM pool.proxies") == []
        for _ in range(2):
            assert await provision(LUNA, config, dry_run=False) == 0
        monkeypatch.setenv("POOL_OPERATOR_TOKEN", "wrong")
        assert await provision(LUNA, ProvisionSettings(), dry_run=False) == 1
    output = capsys.readouterr()
    assert [line for line in output.out.splitlines() if line.startswith(("plan", "done"))] == [
        "plan: 100 to add, 0 to change, 0 as they are",
        "plan: 100 to add, 0 to change, 0 as they are",
        "done: 100 added, 0 changed, 0 as they were",
        "plan: 0 to add, 0 to change, 100 as they are",
    ]
    assert "WRONG_OPERATOR_TOKEN" in output.err
    counted = await rows(pool, "SELECT country, count(*) FROM pool.proxies GROUP BY 1 ORDER BY 2 DESC")
    assert {row["country"]: row["count"] for row in counted} == {"us": 50, "gb": 20, "ca": 15, "au": 10, "de": 5}


async def test_the_commands_of_the_pool_page(database: str, pool: Pool) -> None:
    async with serve_in_process(database) as manager:
        said = []
        for command in COMMANDS:
            process = await asyncio.create_subprocess_exec(
                *shlex.split(command), cwd=ROOT, env={**os.environ, "POOL_TARGET": manager.target},
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            output, _ = await process.communicate()
            assert process.returncode == 0, output.decode()
            said.append(re.findall(r"^(plan|done): (\d+)", output.decode(), re.MULTILINE))
        assert said == [[("plan", "100")], [("plan", "100"), ("done", "100")]]
        assert await pool.fetchval("SELECT count(*) FROM pool.audit WHERE action = 'PROVISION'") == 1


@pytest.mark.parametrize("number", range(3))
async def test_the_questions_of_the_pool_page(pool: Pool, number: int) -> None:
    assert len(QUESTIONS) == 3
    assert await pool.fetch(QUESTIONS[number]) == []


async def test_a_file_with_a_fault_changes_nothing(
    database: str, pool: Pool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "proxies.csv"
    good = "\n".join(f"proxy-{number},7000,us" for number in range(3000))
    file.write_text(f"ip_address,ip_port,country\n{good}\nproxy-x,7000,zz\nproxy y,7000,us\n")
    async with serve_in_process(database) as manager:
        monkeypatch.setenv("POOL_TARGET", manager.target)
        assert await provision(file, ProvisionSettings(), dry_run=False) == 1
        assert await provision(tmp_path / "missing.csv", ProvisionSettings(), dry_run=False) == 1
    errors = capsys.readouterr().err
    assert "line 3002, country: is no country code" in errors
    assert "line 3003, ip_address: is neither" in errors
    assert "No such file" in errors
    assert await rows(pool, "SELECT * FROM pool.proxies") == []


async def test_what_only_the_server_knows_is_named_by_its_line_too(
    database: str, pool: Pool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "proxies.csv"
    async with serve_in_process(database, own_address=Address("127.0.0.1", 50051)) as manager:
        monkeypatch.setenv("POOL_TARGET", manager.target)
        good = "\n".join(f"proxy-{number},7000,us" for number in range(2500))
        file.write_text(f"ip_address,ip_port,country\n{good}\n127.0.0.1,50051,us\n")
        assert await provision(file, ProvisionSettings(), dry_run=False) == 1
    assert "line 2502, ip_address: is the address of this server" in capsys.readouterr().err
    assert await rows(pool, "SELECT * FROM pool.proxies") == []


def test_csv_and_json_say_the_same(tmp_path: Path) -> None:
    table = tmp_path / "proxies.csv"
    table.write_text(
        "# ours\nip_address, ip_port, country, protocol, cooldown\n\nproxy-1, 1080, gb, socks5, 30s\nproxy-2,1,us\n"
    )
    document = tmp_path / "proxies.json"
    document.write_text(
        '[{"ip_address": "proxy-1", "ip_port": 1080, "country": "gb", "protocol": "SOCKS5", "cooldown": 30},'
        ' {"ip_address": "proxy-2", "ip_port": "1", "country": "us", "provider": null}]'
    )
    assert [row.spec for row in read_rows(table)] == [row.spec for row in read_rows(document)]
    assert [row.place for row in read_rows(table)] == ["line 4", "line 5"]


@pytest.mark.parametrize(
    ("name", "text", "faults"),
    [
        ("a.csv", "ip_address,ip_port\nproxy,x\nproxy,1\n", ["line 2", "line 2", "line 3"]),
        ("a.csv", "ip_address,ip_port,country,colour\nproxy,1,us,red\n", ["line 2"]),
        ("a.csv", "# c\nip_address,ip_port,country\nproxy,1,us,more,and more\n", ["line 3"]),
        ("a.csv", "ip_address,ip_port,country,cooldown\nproxy,1,us,soon\n", ["line 2"]),
        ("a.json", '[{"ip_address": "proxy"}]', ["row 1", "row 1"]),
        ("a.json", '{"ip_address": "proxy"}', ["file"]),
        ("a.json", "[", ["file"]),
    ],
)
def test_every_row_that_cannot_be_read_is_named(tmp_path: Path, name: str, text: str, faults: list[str]) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(ClicktraceError) as caught:
        read_rows(file)
    assert [violation.field for violation in caught.value.violations] == faults
