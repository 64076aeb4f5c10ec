"""What two revisions measured, figure by figure: medians, their ratio, and how far the baseline varies by itself.

Pure arithmetic over the lines of reports. A ratio is that of the present code to the baseline.
"""

import itertools
import math
import re
import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from bench.compare import CompareError
from bench.measure.report import Row

_TARGET = re.compile(r"(?P<figure>.+?)\s*(?P<sign><=|>=)\s*(?P<bound>\d+(?:\.\d+)?)")


class Name(NamedTuple):
    """What a figure is called in the reports of every revision; unique within a report."""

    title: str
    unit: str


class Spread(NamedTuple):
    """The range of the ratios of a revision to itself: from their 10th to their 90th percentile."""

    low: float
    high: float


def by_name(rows: Iterable[Row]) -> dict[Name, float]:
    """Returns the value of each line of a report.

    An indented line is named with the line above that it belongs to; a name that comes again is numbered.
    """
    values: dict[Name, float] = {}
    seen: Counter[Name] = Counter()
    parent = ""
    for row in rows:
        title = row.name.strip()
        if row.name.startswith(" "):
            title = f"{parent}, {title}" if parent else title
        else:
            parent = title
        name = Name(title, row.unit)
        seen[name] += 1
        values[name if seen[name] == 1 else Name(f"{title} ({seen[name]})", row.unit)] = row.value
    return values


@dataclass(frozen=True)
class Comparison:
    """One figure of both revisions: one value for each turn, in the order of the turns."""

    name: Name
    baseline: Sequence[float]
    present: Sequence[float]

    @property
    def medians(self) -> tuple[float, float]:
        """The medians over the turns of the baseline, and of the present code."""
        return statistics.median(self.baseline), statistics.median(self.present)

    @property
    def ratio(self) -> float | None:
        """The median of the turns' ratios, each of two runs side by side; None unless the baseline is above 0."""
        if min(self.baseline) <= 0:
            return None
        return statistics.median(now / then for then, now in zip(self.baseline, self.present, strict=True))

    @property
    def spread(self) -> Spread | None:
        """How far turns of the baseline are from one another; None with a single turn, or where `ratio` is None.

        Every turn is compared with every other, in both directions, so that 1 is always inside.
        """
        if min(self.baseline) <= 0 or len(self.baseline) < 2:
            return None
        # By logarithms, because twice is as far from the same as half is.
        ratios = [math.log(one / other) for one, other in itertools.permutations(self.baseline, 2)]
        deciles = statistics.quantiles(ratios, n=10, method="inclusive")
        return Spread(math.exp(deciles[0]), math.exp(deciles[-1]))

    @property
    def verdict(self) -> str:
        """`same` while the ratio lies within the spread, else `lower` or `higher`; `` without a ratio."""
        if self.ratio is None or self.spread is None:
            return ""
        if self.ratio < self.spread.low:
            return "lower"
        return "higher" if self.ratio > self.spread.high else "same"


def compare(baseline: Sequence[Mapping[Name, float]], present: Sequence[Mapping[Name, float]]) -> list[Comparison]:
    """Compares the figures that every run of both revisions has, in the order of the present report."""
    return [
        Comparison(name, [run[name] for run in baseline], [run[name] for run in present])
        for name in present[0]
        if all(name in run for run in (*baseline, *present))
    ]


def only_in(runs: Iterable[Mapping[Name, float]], compared: Collection[Name]) -> list[str]:
    """Returns the titles of figures that are in these runs and were not compared."""
    return list(dict.fromkeys(name.title for run in runs for name in run if name not in compared))


@dataclass(frozen=True)
class Target:
    """What the ratio of a figure is to be: at most, or at least, a bound."""

    figure: str
    """Title and unit of a figure, or a part of them that no other figure has."""
    at_most: bool
    bound: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `FIGURE<=RATIO` or `FIGURE>=RATIO`; ValueError if it is neither."""
        match = _TARGET.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is no target: write FIGURE<=RATIO or FIGURE>=RATIO")
        return cls(match["figure"], match["sign"] == "<=", float(match["bound"]))

    def __str__(self) -> str:
        return f"{self.figure} {'<=' if self.at_most else '>='} {self.bound:g}"

    def choose(self, names: Iterable[Name]) -> Name:
        """Returns the figure that is meant; CompareError if there is none or several."""
        known = {f"{name.title} {name.unit}".strip(): name for name in names}
        found = [name for words, name in known.items() if self.figure in (words, name.title)] or [
            name for words, name in known.items() if self.figure.lower() in words.lower()
        ]
        if len(found) != 1:
            among = [words for words, name in known.items() if not found or name in found]
            raise CompareError(
                f"{self.figure!r} names {len(found) or 'no'} figures; choose one of {', '.join(map(repr, among))}"
            )
        return found[0]

    def is_met(self, comparison: Comparison) -> bool:
        """Returns whether the ratio keeps the bound, or misses it by no more than the baseline's own spread."""
        ratio, spread = comparison.ratio, comparison.spread
        if ratio is None or spread is None:
            return False
        return ratio <= self.bound * spread.high if self.at_most else ratio >= self.bound * spread.low
