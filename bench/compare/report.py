"""A whole comparison: checkout, turns, a table, and the same as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.compare import CompareError, checkout, turns
from bench.compare.figures import Comparison, Name, Target, compare, only_in

_NUMBER = 12


def run(
    root: Path, bench: str, arguments: Sequence[str], *, revision: str, count: int, targets: Sequence[Target]
) -> bool:
    """Compares the code in `root` with a revision in `count` turns; returns whether every target is met.

    Prints what it does and the table, and writes every turn to bench/results. CompareError if the revision cannot be
    run, or has none of the figures.
    """
    found = checkout.find(root, revision)
    baseline = turns.Side(found.name, checkout.prepare(root, found, _say))
    present = turns.Side("this code", root)
    described = checkout.describe(root)
    words = " ".join([bench, *arguments])
    print(f"bench {words}: this code ({described}) and {found.name} ({found.commit[:7]}) in {count} turns", flush=True)
    chosen: list[Name] = []

    def choose() -> None:
        # After the first turn, so that a word that is misspelt costs no more than that.
        names = [one.name for one in compare(baseline.runs, present.runs)]
        if not names:
            raise CompareError(f"{found.name} measures nothing that this code measures too")
        chosen.extend(target.choose(names) for target in targets)

    turns.take(baseline, present, bench, arguments, turns=count, say=_say, after_first=choose)
    figures = {one.name: one for one in compare(baseline.runs, present.runs)}
    print("\n" + "\n".join(table(found.name, list(figures.values()))))
    for side in (baseline, present):
        if alone := only_in(side.runs, figures):
            print(f"only in {side.name}: {', '.join(alone)}")
    met = {str(target): target.is_met(figures[name]) for target, name in zip(targets, chosen, strict=True)}
    for target, is_met in met.items():
        print(f"target {target}: {'met' if is_met else 'MISSED'}")
    document = {
        "bench": bench,
        "arguments": arguments,
        "baseline": asdict(found),
        "present": described,
        "figures": [_as_document(one) for one in figures.values()],
        "targets": met,
    }
    path = root / "bench" / "results" / f"{bench}-against-{found.commit[:7]}.json"
    path.write_text(json.dumps(document, indent=2), encoding="utf-8")
    print(f"every turn is in {path.relative_to(root)}")
    return all(met.values())


def table(baseline: str, figures: Sequence[Comparison]) -> list[str]:
    """Returns the lines of the table: medians of both sides, median ratio, spread of the baseline against itself."""
    width = max(len(one.name.title) for one in figures)
    head = f"{'':{width}} {baseline[:_NUMBER]:>{_NUMBER}} {'this code':>{_NUMBER}} {'':8} {'ratio':>7}  spread"
    return [head, *(_line(one, width) for one in figures)]


def _line(one: Comparison, width: int) -> str:
    then, now = one.medians
    ratio = "-" if one.ratio is None else f"{one.ratio:.3f}"
    spread = "" if one.spread is None else f"{one.spread.low:.3f}..{one.spread.high:.3f}"
    numbers = f"{then:>{_NUMBER},.3f} {now:>{_NUMBER},.3f} {one.name.unit:8} {ratio:>7}"
    return f"{one.name.title:{width}} {numbers}  {spread:13} {one.verdict}".rstrip()


def _as_document(one: Comparison) -> dict[str, object]:
    return {
        **one.name._asdict(),
        "baseline": one.baseline,
        "present": one.present,
        "ratio": one.ratio,
        "spread": one.spread,
    }


def _say(line: str) -> None:
    print(f"  {line}", flush=True)
