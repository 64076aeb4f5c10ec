"""Every public float names its unit: in its name, or in the docstring of what it belongs to."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

_UNIT = re.compile(
    r"%|\d (s|ms|µs|h)\b|\bper (second|hour|click)\b|\b("
    r"seconds?|milliseconds?|minutes?|hours?|days?|bytes|MiB|percent|erlangs?|currency"
    r"|ratios?|shares?|part of|fraction|quantile|weights?|number of|how many|0 to 1"
    r")\b",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"(^|_)(seconds|ms|milliseconds|bytes|percent|ratio|share|part|fraction|quantile|weight|per_second|rate|hours|days)($|_)"
)


def is_float(annotation: ast.expr | None) -> bool:
    """Says whether an annotation is a float, or a float or None."""
    match annotation:
        case ast.Name(id="float"):
            return True
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return is_float(left) or is_float(right)
        case _:
            return False


def docs_of_attributes(owner: ast.ClassDef | ast.Module) -> dict[str, str]:
    """Returns the docstrings that stand below attributes, by name."""
    documented = {}
    for line, following in zip(owner.body, owner.body[1:], strict=False):
        match line, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                documented[name] = text
            case _:
                pass
    return documented


def of_function(
    function: ast.FunctionDef | ast.AsyncFunctionDef, place: str, about: str
) -> Iterator[tuple[str, str, str]]:
    about = f"{ast.get_docstring(function) or ''} {about}"
    given = function.args
    for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs):
        if is_float(argument.annotation):
            yield f"{place}({argument.arg})", argument.arg, about
    if is_float(function.returns):
        yield place, function.name, about


def floats(owner: ast.ClassDef | ast.Module, place: str) -> Iterator[tuple[str, str, str]]:
    """Yields the public floats of a module or class: where each stands, its name, and what its docstrings say."""
    documented = docs_of_attributes(owner)
    about = ast.get_docstring(owner) or "" if isinstance(owner, ast.ClassDef) else ""
    for node in owner.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() if not node.name.startswith("_") or node.name == "__init__":
                # What a class says of its fields holds for the constructor too.
                yield from of_function(node, f"{place}.{node.name}", about if node.name == "__init__" else "")
            case ast.ClassDef() if not node.name.startswith("_"):
                yield from floats(node, f"{place}.{node.name}")
            case ast.AnnAssign(target=ast.Name(id=name)) if not name.startswith("_") and is_float(node.annotation):
                yield f"{place}.{name}", name, f"{documented.get(name, '')} {about}"
            case _:
                pass


def has_unit(name: str, about: str) -> bool:
    """Says whether a name or a docstring holds a unit."""
    return bool(_NAMED.search(name) or _UNIT.search(about))


def without_unit() -> list[str]:
    """Returns the public floats of the house that name no unit."""
    found = []
    for top in ("services", "libs", "local", "bench"):
        for path in sorted((ROOT / top).rglob("*.py")):
            place = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found += [
                where for where, name, about in floats(ast.parse(path.read_text()), place) if not has_unit(name, about)
            ]
    return sorted(set(found))


def test_each_float_names_its_unit() -> None:
    assert without_unit() == [], "say the unit in the name or in the docstring"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("def wait(most: float) -> None:\n    'Waits.'", ["m.wait(most)"]),
        ("def wait(most: float | None) -> None:\n    'Waits at most `most` seconds.'", []),
        ("def wait(seconds: float) -> float:\n    'Waits.'", ["m.wait"]),
        ("def _wait(most: float) -> None:\n    'Waits.'", []),
        ("class A:\n    'A.'\n    age: float\n    'In hours.'\n    size: float", ["m.A.size"]),
        ("class A:\n    'A.'\n    def age(self) -> float:\n        'Tells it.'", ["m.A.age"]),
    ],
)
def test_what_counts(code: str, found: list[str]) -> None:
    assert [where for where, name, about in floats(ast.parse(code), "m") if not has_unit(name, about)] == found
