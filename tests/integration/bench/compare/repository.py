"""A small repository with a benchmark and an environment, for comparisons that take no time."""

import json
import os
import subprocess
import sys
from pathlib import Path

# It writes what its revision costs, as those of the real one do, and notes who ran it with what.
_BENCH = """
import json, os, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# No code, because Python would take code of the same length and second for the same.
said = json.loads((ROOT / "bench" / "said.json").read_text())

with open(os.environ["RUNS"], "a") as runs:
    print(ROOT.name, *sys.argv[1:], file=runs)
print("rows:", said["rows"])
if said["rows"]:
    (ROOT / "bench" / "results").mkdir(exist_ok=True)
    (ROOT / "bench" / "results" / "click.json").write_text(json.dumps(said["rows"]))
sys.exit(said["exit_code"])
"""
_MAKEFILE = """
bootstrap-bench:
\t@echo installing {package}
\t@mkdir -p .venv/bin && ln -sf $(PYTHON) .venv/bin/python && echo {package} > .venv/package
"""
PYTHON = Path(sys.executable).resolve()
_PERSON = {f"GIT_{role}_{what}": "t@t.test" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
_NOBODYS_SETTINGS = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}


class Repository:
    """The repository; its work tree is the present code."""

    def __init__(self, directory: Path) -> None:
        self.root = directory
        directory.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        (directory / ".gitignore").write_text(".venv/\n.build/\nbench/results/\n__pycache__/\n")
        self.write("Makefile", _MAKEFILE.format(package="one"))
        self.write("bench/click.py", _BENCH)

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            env={**os.environ, **_PERSON, **_NOBODYS_SETTINGS},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(exist_ok=True)
        (self.root / path).write_text(text)

    def measures(self, *rows: tuple[str, float, str], exit_code: int = 0) -> None:
        """Makes the benchmark say this: name, value and unit of each line; without a line it writes nothing down."""
        # Later revisions may write more about a line.
        lines = [{"name": name, "value": value, "unit": unit, "more": 1} for name, value, unit in rows]
        self.write("bench/said.json", json.dumps({"rows": lines, "exit_code": exit_code}))

    def costs(self, cost: float, *, exit_code: int = 0) -> None:
        """Makes the benchmark say that a click costs so many milliseconds."""
        self.measures(("CPU of a click", cost, "ms"), ("  ratio", 2.0, ""), exit_code=exit_code)

    def installs(self, package: str) -> None:
        """Makes the environment hold a package."""
        self.write("Makefile", _MAKEFILE.format(package=package))

    def commit(self, subject: str) -> str:
        """Commits everything and returns the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", subject)
        return self.git("rev-parse", "HEAD")

    def bootstrap(self) -> None:
        """Makes the environment of the present code."""
        subprocess.run(["make", "--silent", "bootstrap-bench", f"PYTHON={PYTHON}"], cwd=self.root, check=True)
