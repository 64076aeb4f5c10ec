"""Tests mirror the rooms: the test of `services/gateway/urls/template.py` is `tests/*/gateway/urls/test_template.py`.

`tests/untested.txt` lists the modules that have no test of their own yet; others test them on the way. It only shrinks:
a module that is missing in it needs a test, and one that has got a test is to be taken off.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIST = ROOT / "tests" / "untested.txt"
# What only names a package, starts a program or is written by a machine.
NO_MODULES = ("__init__.py", "__main__.py")


def modules() -> list[Path]:
    """Returns the modules of the house, relative to its root."""
    found = (
        path.relative_to(ROOT) for top in ("services", "libs", "local", "bench") for path in (ROOT / top).rglob("*.py")
    )
    return sorted(path for path in found if path.name not in NO_MODULES)


def has_test(module: Path) -> bool:
    """Says whether a test of a module stands where its path says."""
    # "services" and "libs" are shelves, not rooms.
    room = module.parent.relative_to(module.parts[0]) if module.parts[0] in ("services", "libs") else module.parent
    return any(ROOT.glob(f"tests/*/{room}/test_{module.name}"))


def test_each_module_has_a_test_of_its_own_or_stands_on_the_list() -> None:
    listed = LIST.read_text().splitlines()
    assert listed == sorted(set(listed)), f"{LIST.name} is to be sorted, each module once"
    untested = {str(module) for module in modules() if not has_test(module)}
    assert untested - set(listed) == set(), "these need a test of their own"
    assert set(listed) - untested == set(), f"these have one now, or are gone: take them off {LIST.name}"
