"""Proves that the bootstrap speaks to any Python, counts what it installs, and turns pip's faults into sentences."""

import ast
import io
import os
import shutil
import sys
from pathlib import Path

import pytest

from local import bootstrap

SOURCE = Path(bootstrap.__file__)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_parses_on_python_3_6() -> None:
    ast.parse(SOURCE.read_text(), feature_version=(3, 6))


def test_it_needs_the_standard_library_only() -> None:
    tree = ast.parse(SOURCE.read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


def test_it_names_no_package_index() -> None:
    assert "http" not in SOURCE.read_text()


def test_an_old_python_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 8, 0))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert bootstrap.main([]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "Python 3.11 or newer is needed, this is 3.8" in line


def test_a_newer_python_under_its_own_name_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    class HandedError(Exception):
        pass

    def execv(path: str, arguments: list[str]) -> None:
        raise HandedError(path, *arguments)

    monkeypatch.setattr(sys, "version_info", (3, 8, 0))
    monkeypatch.setattr(shutil, "which", lambda name: f"/opt/{name}" if name == "python3.11" else None)
    monkeypatch.setattr(os, "execv", execv)
    with pytest.raises(HandedError) as handed:
        bootstrap.main(["--dev"])
    assert handed.value.args == ("/opt/python3.11", "/opt/python3.11", str(SOURCE), "--dev")


def test_pins_of_several_files_are_counted_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one==1 \\\n    --hash=sha256:00\ntwo==2 ; python_version < '4' \\\n# three==3\n")
    (tmp_path / "b.txt").write_text("two==2 \\\nfour[extra]==4\n")
    assert bootstrap.count_pins([str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]) == 3


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("Retrying: NewConnectionError('…')\nERROR: No matching distribution found for a==1", "is there a network"),
        ("ERROR: No matching distribution found for a==1", "not available for this Python"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "its hash differs"),
        ("OSError: [Errno 28] No space left on device", "no space left"),
        ("something else", "pip failed"),
    ],
)
def test_faults_of_pip_become_a_sentence_with_the_last_lines_and_the_log(output: str, reason: str) -> None:
    said = bootstrap.explain(output, "/venv/pip.log")
    assert reason in said.splitlines()[0]
    assert output.splitlines()[-1] in said
    assert said.endswith("/venv/pip.log")


def test_progress_is_one_changing_line_on_a_terminal_and_plain_lines_elsewhere() -> None:
    for stream, lines in ((Terminal(), 0), (io.StringIO(), 3)):
        with bootstrap.Progress(12, stream) as progress:
            progress.heard("Collecting grpcio==1.0 (from -r requirements.txt (line 1))\n")
            progress.heard("  Downloading grpcio.whl\n")
            progress.heard("Requirement already satisfied: idna==3 in somewhere\n")
            progress.heard("Installing collected packages: grpcio, idna\n")
        said = stream.getvalue()
        assert "[  1/12 ] installing grpcio" in said
        assert "[  2/12 ] installing idna" in said
        assert "writing 2 packages" in said
        assert said.count("\n") == lines
