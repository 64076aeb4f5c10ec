"""Makes `.venv` from the pinned requirements; what `make run` and `make test` do first. Costs nothing when it is there.

Runs on the system's Python and nothing else, and parses on any Python 3, so that an old one is told in one line.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "installed")
LOG = os.path.join(VENV, "install.log")
REQUIREMENTS = ("requirements.txt", "requirements-local.txt")
DEV_REQUIREMENTS = ("requirements-dev.txt",)
OLDEST = (3, 11)


class FaultError(Exception):
    """Something that the person at the terminal can mend."""


def main():
    """Brings `.venv` up to date and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dev", action="store_true", help="also install what the tests and checks need")
    arguments = parser.parse_args()
    try:
        check_python()
        bring_up_to_date(REQUIREMENTS + (DEV_REQUIREMENTS if arguments.dev else ()))
    except FaultError as fault:
        print("clicktrace: %s" % fault, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nclicktrace: interrupted; the next run goes on from here", file=sys.stderr)
        return 130
    return 0


def check_python():
    """Raises FaultError on a Python that is too old."""
    if sys.version_info < OLDEST:
        raise FaultError(
            "Python %d.%d or newer is needed, this is %d.%d; install one and run make with PYTHON=python3.12"
            % (OLDEST + tuple(sys.version_info[:2]))
        )


def bring_up_to_date(files):
    """Installs the requirements in `files` unless the stamp says they are; FaultError if that cannot be."""
    wanted = {name: digest(name) for name in files}
    if wanted.items() <= installed().items():
        return
    if not os.access(ROOT, os.W_OK):
        raise FaultError("%s is not writable for this user; clone the project to a directory of your own" % ROOT)
    began = time.time()
    # A directory without a stamp was never finished; what is in it cannot be relied on.
    if not os.path.exists(STAMP) or not works():
        make_venv()
    count = install(files)
    with open(STAMP, "w") as stamp:
        stamp.writelines("%s %s\n" % item for item in sorted(dict(installed(), **wanted).items()))
    say("dependencies: %d packages in .venv, %.0f s" % (count, time.time() - began), end="\n")


def digest(name):
    """Returns what tells this state of a requirements file from any other, on this Python."""
    with open(os.path.join(ROOT, name), "rb") as file:
        return hashlib.sha256(file.read() + sys.version.encode()).hexdigest()


def installed():
    """Returns what the stamp says is installed: the digest by file name."""
    try:
        with open(STAMP) as stamp:
            return dict(line.split() for line in stamp)
    except (OSError, ValueError):
        return {}


def works():
    """Says whether the Python of the venv starts."""
    try:
        return subprocess.call([PYTHON, "-c", ""], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def make_venv():
    """Makes an empty venv in place of what is there."""
    say("dependencies: making .venv")
    shutil.rmtree(VENV, ignore_errors=True)
    made = subprocess.run(
        [sys.executable, "-m", "venv", VENV], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if made.returncode != 0 or not os.path.exists(PYTHON):
        shutil.rmtree(VENV, ignore_errors=True)
        said = made.stdout.decode(errors="replace")
        if "ensurepip" in said or "No module named venv" in said:
            raise FaultError(
                "this Python cannot make a venv; install its venv package (Debian: apt install python3-venv)"
            )
        raise FaultError("python -m venv failed: %s" % (said.strip().splitlines() or ["no reason given"])[-1])


def install(files):
    """Installs the pinned packages, checked against their hashes, and returns how many there are."""
    pins = set()
    for name in files:
        with open(os.path.join(ROOT, name)) as file:
            pins.update(re.findall(r"^([A-Za-z0-9._-]+)==", file.read(), re.MULTILINE))
    command = [PYTHON, "-m", "pip", "install", "--require-hashes", "--no-deps", "--no-input", "--progress-bar=off"]
    command += ["--disable-pip-version-check"] + [part for name in files for part in ("-r", name)]
    seen = 0
    with open(LOG, "w") as log:
        pip = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
        )
        try:
            for line in pip.stdout:
                log.write(line)
                match = re.match(r"(?:Collecting|Requirement already satisfied:) ([A-Za-z0-9._-]+)", line)
                if match:
                    seen += 1
                    say("dependencies: [%d/%d] %s" % (min(seen, len(pins)), len(pins), match.group(1).split("==")[0]))
                elif line.startswith("Installing"):
                    say("dependencies: [%d/%d] installing" % (len(pins), len(pins)))
        finally:
            if pip.wait() != 0:
                forget()
    if pip.returncode != 0:
        with open(LOG) as log:
            errors = [line.strip() for line in log if line.startswith(("ERROR", "error"))]
        reason = errors[0] if errors else "pip ended with status %d" % pip.returncode
        raise FaultError(
            "the packages could not be installed: %s (all of it in %s); is there a network?" % (reason, LOG)
        )
    return len(pins)


def forget():
    """Takes the stamp away: what is in the venv is in between two states."""
    if os.path.exists(STAMP):
        os.remove(STAMP)


def say(text, end=""):
    """Shows progress: one line that changes on a terminal, a line of its own elsewhere."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns - 1
        sys.stdout.write("\r\033[K" + text[:width] + end)
    else:
        sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
