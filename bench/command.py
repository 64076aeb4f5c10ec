"""The command line of the benchmarks: `--smoke`, and `--baseline` with its turns and targets."""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence

from bench.compare import CompareError, report
from bench.compare.figures import Target
from bench.measure.report import ROOT, Row, publish
from bench.sizes import FULL, SMOKE, Sizes
from libs.common.process import logs

LEAST_TURNS = 5


def main(
    name: str,
    description: str | None,
    measure: Callable[[argparse.Namespace, Sizes], Iterable[Row]],
    *,
    add_arguments: Callable[[argparse.ArgumentParser], object] = lambda _parser: None,
    arguments: Sequence[str] | None = None,
) -> int:
    """Measures, or compares with a baseline, as the command line says; returns the exit code.

    It is 1 if a limit was not kept, a target was missed, or a comparison cannot be made. `arguments` are those of the
    process if left out.
    """
    words = sys.argv[1:] if arguments is None else arguments
    comparison = _comparison()
    whole = parser(f"bench-{name}", description, parents=[comparison])
    add_arguments(whole)
    options = whole.parse_intermixed_args(words)
    quiet()
    if options.baseline is None:
        return 0 if publish(name, measure(options, sizes(options)), smoke=options.smoke) else 1
    if options.smoke:
        whole.error("--baseline compares figures, and those of --smoke mean nothing")
    # What is not about the comparison is for the benchmark of either revision.
    _, own = comparison.parse_known_args(words)
    try:
        met = report.run(ROOT, name, own, revision=options.baseline, count=options.turns, targets=options.target)
    except CompareError as error:
        print(f"{whole.prog}: {error}", file=sys.stderr)
        return 1
    return 0 if met else 1


def parser(
    name: str, description: str | None, *, parents: Sequence[argparse.ArgumentParser] = ()
) -> argparse.ArgumentParser:
    """Returns a parser that knows `--smoke`."""
    made = argparse.ArgumentParser(
        prog=f"make {name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=list(parents),
        allow_abbrev=False,
    )
    made.add_argument(
        "--smoke", action="store_true", help="tiny sizes: shows in seconds that it runs; its figures mean nothing"
    )
    return made


def quiet() -> None:
    """Keeps what the system logs in this process, such as its migrations, out of the table; errors are shown."""
    logs.setup("bench", "json", "error")


def sizes(options: argparse.Namespace) -> Sizes:
    """Returns the sizes that the options ask for."""
    return SMOKE if options.smoke else FULL


def _comparison() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    group = made.add_argument_group("comparison with another revision (docs/performance.md)")
    group.add_argument(
        "--baseline", metavar="REV", help="tag, commit or release whose own benchmark takes turns with this one"
    )
    group.add_argument(
        "--turns", type=_turns, default=LEAST_TURNS, help=f"how often each of them runs, at least {LEAST_TURNS}"
    )
    group.add_argument(
        "--target",
        type=_target,
        action="append",
        default=[],
        metavar="FIGURE<=RATIO",
        help="what the ratio of a figure must be, give or take the spread of REV; or >=; may be repeated",
    )
    return made


def _turns(text: str) -> int:
    turns = int(text)
    if turns < LEAST_TURNS:
        raise argparse.ArgumentTypeError(f"{turns} turns tell no spread: take at least {LEAST_TURNS}")
    return turns


def _target(text: str) -> Target:
    try:
        return Target.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
