"""What was tried and what happened, as the table of the README."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.chaos.faults import Strike


@dataclass
class Results:
    strikes: list[Strike] = field(default_factory=list)
    attempts: dict[str, int] = field(default_factory=dict)
    """Of each run that came to its right end."""


def table(results: Results) -> str:
    """A row for each part: how often it was hurt, at which moments, and how the runs under way then ended."""
    rows: dict[str, list[Strike]] = defaultdict(list)
    for strike in results.strikes:
        rows[strike.fault.part].append(strike)
    lines = ["| hurt | times | when | runs under way | done at once | done after a further attempt |"]
    lines.append("|---|---|---|---|---|---|")
    for part, hits in sorted(rows.items(), key=lambda row: -len(row[1])):
        runs = [run for strike in hits for run in strike.runs]
        once = sum(results.attempts.get(run) == 1 for run in runs)
        again = sum(results.attempts.get(run, 0) > 1 for run in runs)
        cells = (part, len(hits), _moments(hits), len(runs), once, again)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, f"\n{len(results.strikes)} faults, {len(results.attempts)} runs done."])


def _moments(strikes: Sequence[Strike]) -> str:
    counted = Counter(str(strike.fault.moment) for strike in strikes)
    return ", ".join(
        f"{moment} x{times}" if times > 1 else moment for moment, times in sorted(counted.items())
    )
