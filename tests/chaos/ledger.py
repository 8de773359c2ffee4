"""What was tried and what happened, as the table of the README."""

from collections import defaultdict
from dataclasses import dataclass, field

from tests.chaos.faults import Strike


@dataclass
class Results:
    strikes: list[Strike] = field(default_factory=list)
    attempts: dict[str, int] = field(default_factory=dict)
    """Of each run that came to its right end; of a batch, the most that one of its runs took."""


NAMES = {
    "worker": "engine worker (`kill -9`)",
    "postgres": "PostgreSQL (`kill -9`)",
    "web": "web server (`kill -9`)",
    "dockerd": "`dockerd` (`kill -9`), with live-restore",
    "dockerd_alone": "`dockerd` (`kill -9`), without: it stops the containers",
    "container": "a user's container (its first process)",
    "agent": "the agent server inside it",
    "remote": "the git remote, cut off for up to 3 s",
    "github": "GitHub's API, cut off for up to 3 s",
}


def table(results: Results, what: str = "runs") -> str:
    """A row for each part: how often it was hurt, at which moments, and how what was under way then ended."""
    rows: dict[str, list[Strike]] = defaultdict(list)
    for strike in results.strikes:
        rows[strike.fault.part].append(strike)
    lines = [
        f"| hurt | times | at step boundaries | at random | {what} met | done | of these after a retry |"
    ]
    lines.append("|---|--:|--:|--:|--:|--:|--:|")
    for part, name in NAMES.items():
        if hits := rows.get(part):
            ends = [results.attempts.get(run, 0) for strike in hits for run in strike.runs]
            boundaries = [str(strike.fault.moment) for strike in hits if strike.fault.moment.step]
            where = f"{len(boundaries)} ({len(set(boundaries))} different)" if boundaries else "0"
            done, again = sum(end > 0 for end in ends), sum(end > 1 for end in ends)
            cells = (name, len(hits), where, len(hits) - len(boundaries), len(ends), done, again)
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, f"\n{len(results.strikes)} faults, {len(results.attempts)} {what}, all done."])
