"""What a browser keeps of a task: small, plain, and at most 1 KB on the wire."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from openlinear.services.views import ExecutionView, TaskView

OPEN = frozenset({"queued", "cloning", "executing", "waiting", "committing", "creating_pr"})
SAYS = {
    "queued": "Queued",
    "cloning": "Preparing the repository",
    "executing": "Working",
    "waiting": "Waiting for you",
    "committing": "Committing",
    "creating_pr": "Opening the pull request",
}
NEAR_DAYS = 7
LABELS_SHOWN = 3
FRAME = 820
"""What a card may weigh, so that a frame with it stays under 1 KB."""


@dataclass(frozen=True)
class Label:
    name: str
    color: str


@dataclass(frozen=True)
class Run:
    """A task's last run; `id` is empty where there was none. Times are milliseconds, 0 for none."""

    id: str = ""
    status: str = ""
    state: str = ""
    """What colour it has: running, waiting, done, failed, cancelled, or empty."""
    open: bool = False
    progress: int = 0
    message: str = ""
    error: str = ""
    result: str = ""
    """How it ended, where no pull request says it."""
    pr: int = 0
    url: str = ""
    proposal: str = ""
    """What became of the pull request: `merged` or `closed`, or empty."""
    additions: int = 0
    deletions: int = 0
    added: str = ""
    removed: str = ""
    """The same, short: `1.2k`. Empty where nothing changed."""
    cost: str = ""
    attempt: int = 0
    attempts: int = 0
    """The how-manieth of how many, from the second on; else 0."""
    over: bool = False
    """Whether it reached a limit of time or money."""
    started: int = 0
    ended: int = 0
    batch: str = ""
    clash: str = ""
    """What it would conflict with if both were merged now."""


@dataclass(frozen=True)
class Card:
    id: str = ""
    project: str = ""
    identifier: str = ""
    title: str = ""
    status: str = "todo"
    order: float = 0.0
    priority: str = ""
    labels: list[Label] = field(default_factory=list)
    due: str = ""
    overdue: bool = False
    person: str = ""
    initials: str = ""
    agent: str = ""
    version: int = 0
    run: Run = Run()


@dataclass(frozen=True)
class Shown(Card):
    """A card in a column; or, with `group`, the line above the cards of that finished batch."""

    group: str = ""


@dataclass(frozen=True)
class Column:
    """What a column shows: a window of its cards, how many there are, how many are loaded but hidden,
    and how many (`rest`) only the server has.
    """

    cards: list[Shown] = field(default_factory=list)
    total: int = 0
    hidden: int = 0
    rest: int = 0


def card_of(task: TaskView) -> Card:
    due = task.due_date
    today = datetime.now(UTC).date()
    return Card(
        id=str(task.id),
        project=str(task.project_id),
        identifier=task.identifier,
        title=clip(task.title, 200),
        status=task.status,
        order=task.order,
        priority=task.priority or "",
        labels=[Label(clip(one.name, 16), one.color) for one in task.labels[:LABELS_SHOWN]],
        due=short_date(due, today) if due and task.status in ("todo", "in_progress") else "",
        overdue=bool(due and due < today),
        person=clip(task.created_by, 24),
        initials=initials(task.created_by),
        agent=task.agent,
        version=task.version,
        run=run_of(task.execution) if task.execution else Run(),
    )


def run_of(run: ExecutionView) -> Run:
    outcomes = {"pushed": "Branch pushed", "no_changes": "No changes"}
    return Run(
        id=str(run.run_id),
        status=run.status,
        state=state_of(run.status),
        open=run.status in OPEN,
        progress=run.progress,
        message=_message(run),
        error=clip(run.error or "", 160),
        result=outcomes.get(run.outcome or "", ""),
        pr=run.pr_number or 0,
        url=link_of(run.pr_url or ""),
        proposal=run.pr_state if run.pr_state in ("merged", "closed") else "",
        additions=run.additions,
        deletions=run.deletions,
        added=short(run.additions) if run.files_changed else "",
        removed=short(run.deletions) if run.files_changed else "",
        cost=f"${run.cost:.2f}" if run.cost >= 0.005 else "",
        attempt=run.attempt if run.attempt > 1 else 0,
        attempts=run.attempts if run.attempt > 1 else 0,
        over=run.error_kind == "budget",
        started=milliseconds(run.started_at or run.created_at),
        ended=milliseconds(run.ended_at),
        batch=str(run.batch_id or ""),
        clash=clash_of([(one.identifier, one.files) for one in run.clashes]) if run.status in OPEN else "",
    )


def _message(run: ExecutionView) -> str:
    if run.status not in OPEN:
        return ""
    if run.batch_id and run.status == "queued":
        return "Queued in a batch"
    return clip(run.message or SAYS[run.status], 120)


def clash_of(clashes: Sequence[tuple[str, Sequence[str]]]) -> str:
    """`Would conflict with CART-3 in app.py`, for tasks and their files; empty without any."""
    if not clashes:
        return ""
    tasks = " and ".join(task for task, _ in clashes)
    files = sorted({file for _, files in clashes for file in files})
    return clip(f"Would conflict with {tasks} in {', '.join(files)}", 120)


def link_of(url: str) -> str:
    """The address, where it is one of the web and not absurdly long."""
    return url if url.startswith(("https://", "http://")) and len(url.encode()) <= 160 else ""


def progress_of(run_id: str, status: str, progress: int, message: str) -> dict[str, Any]:
    """What changes often, alone."""
    return {
        "run": run_id,
        "line": {
            "status": status,
            "state": state_of(status),
            "open": status in OPEN,
            "progress": progress,
            "message": clip(message or SAYS.get(status, ""), 120),
        },
    }


def plain(card: Card) -> dict[str, Any]:
    """A card as one delta carries it, in at most `FRAME` bytes.

    What is empty, or in the delta's key, is left out; the page fills it in. Rarely are all texts long
    at once; then they are cut shorter than on the board as it was first read.
    """
    values = {key: value for key, value in asdict(card).items() if value and key != "id"}
    values["run"] = {key: value for key, value in values["run"].items() if value}
    for size in (120, 80, 40, 20):
        if _weight(values) <= FRAME:
            break
        values["title"] = clip(card.title, size)
        for name in ("error", "clash", "message"):
            if text := getattr(card.run, name):
                values["run"][name] = clip(text, size)
    return values


def state_of(status: str) -> str:
    return "running" if status in OPEN - {"waiting"} else status


def milliseconds(time: datetime | None) -> int:
    return int(time.timestamp() * 1000) if time else 0


def short_date(day: date, today: date) -> str:
    """Only when it is near or past: `today`, `Fri`, `3 Nov`; else empty."""
    days = (day - today).days
    if days > NEAR_DAYS:
        return ""
    if days in (0, 1):
        return ("today", "tomorrow")[days]
    return f"{day:%a}" if days > 0 else f"{day.day} {day:%b}"


def short(number: int) -> str:
    """`999`, `1.2k`, `3.4M`."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:.1f}".removesuffix(".0") + unit
    return str(number)


def initials(name: str) -> str:
    words = name.split()
    return "".join(word[0] for word in (words[:1] + words[-1:] if len(words) > 1 else words)).upper()


def clip(text: str, size: int) -> str:
    """The text's first line, cut so that its JSON takes at most `size` bytes."""
    line = text.strip().split("\n", 1)[0].rstrip()
    if _weight(line) <= size:
        return line
    while line and _weight(line) > size - 3:
        line = line[: min(len(line) - 1, size)]
    return line.rstrip() + "…"


def _weight(value: Any) -> int:
    """Its bytes as JSON; a text's without the quotes."""
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    return size - 2 if isinstance(value, str) else size
