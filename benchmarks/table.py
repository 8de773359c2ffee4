"""Figures as a table: medians, 95th percentiles, and ratios of what ran in the same minutes.

Machines differ and drift, so a figure counts only beside its floor: both are taken in turn, in one
run. Nothing here judges; the bound an issue set is printed beside the ratio.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Series:
    """Durations in seconds of one way to do a thing."""

    name: str
    seconds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def p95(self) -> float:
        ordered = sorted(self.seconds)
        return ordered[math.ceil(0.95 * len(ordered)) - 1]


@dataclass(frozen=True, slots=True)
class Ratio:
    """`ours` against `floor`; `bound` is what was asked for, None where nothing was."""

    ours: Series
    floor: Series
    bound: float | None = None
    at: str = "median"
    """Which figure the bound is on: `median` or `p95`."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one benchmark found: series to print, ratios between them, and plain facts."""

    title: str
    series: Sequence[Series] = ()
    ratios: Sequence[Ratio] = ()
    facts: Sequence[tuple[str, str]] = ()


def show(figures: Figures) -> None:
    console = Console(width=110)
    console.rule(figures.title)
    if figures.series:
        table = Table("", "runs", "median ms", "p95 ms", box=None, pad_edge=False)
        for series in figures.series:
            table.add_row(
                series.name,
                str(len(series.seconds)),
                f"{series.median * 1000:.1f}",
                f"{series.p95 * 1000:.1f}",
            )
        console.print(table)
    for ratio in figures.ratios:
        bound = f", asked: at most {ratio.bound:g} ({ratio.at})" if ratio.bound else ""
        console.print(
            f"{ratio.ours.name} / {ratio.floor.name}: median {ratio.ours.median / ratio.floor.median:.2f}, "
            f"p95 {ratio.ours.p95 / ratio.floor.p95:.2f}{bound}"
        )
    for name, value in figures.facts:
        console.print(f"{name}: {value}")
