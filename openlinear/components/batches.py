"""What a browser keeps of a batch: a line of the board, and the rows of its panel."""

from dataclasses import asdict, dataclass
from typing import Any

from engine.batches.client import BatchView, MemberView
from openlinear.components.cards import clash_of, clip, link_of, milliseconds, short

MOVING = ("queued", "running")
WORDS = {
    "queued": "Queued",
    "running": "Running",
    "waiting": "Waits for approval",
    "merging": "Merging",
    "completed": "Done",
    "failed": "Failed",
    "cancelled": "Cancelled",
}
STATES = {
    "running": "running",
    "merging": "running",
    "waiting": "waiting",
    "completed": "done",
    "failed": "failed",
    "cancelled": "cancelled",
}
"""What colour a batch or a task of it has; others have none."""
SAID = ("waiting",)
"""Its word says it all."""
AGAIN = ("failed", "skipped", "cancelled")


@dataclass(frozen=True)
class Head:
    """A batch in one line. Times are milliseconds, 0 for none."""

    id: str = ""
    project: str = ""
    status: str = ""
    state: str = ""
    word: str = ""
    mode: str = ""
    message: str = ""
    open: bool = False
    cancelling: bool = False
    total: int = 0
    done: int = 0
    left: int = 0
    """How many of its tasks can be tried again."""
    pr: int = 0
    url: str = ""
    started: int = 0
    ended: int = 0


@dataclass(frozen=True)
class Row:
    """A task of a batch, as its panel shows it."""

    id: str = ""
    run: str = ""
    reference: str = ""
    title: str = ""
    status: str = ""
    state: str = ""
    word: str = ""
    message: str = ""
    reason: str = ""
    output: bool = False
    """Whether there is something to read of the check that its merge broke."""
    clash: str = ""
    open: bool = False
    added: str = ""
    removed: str = ""
    cost: str = ""
    started: int = 0
    ended: int = 0


@dataclass(frozen=True)
class Trial:
    """One trial of the checks on a merged tree."""

    label: str
    passed: bool
    command: str
    seconds: str
    output: str


def head_of(batch: BatchView) -> Head:
    ended = batch.ended_at is not None
    return Head(
        id=str(batch.id),
        project=str(batch.project_id),
        status=batch.status,
        state=STATES.get(batch.status, ""),
        word="Cancelling" if batch.cancelling else WORDS[batch.status],
        mode=batch.mode,
        message=clip(batch.message, 120) if batch.status not in SAID else "",
        open=not ended,
        cancelling=batch.cancelling,
        total=len(batch.tasks),
        done=sum(task.status == "completed" for task in batch.tasks),
        left=sum(task.status in AGAIN for task in batch.tasks) if ended else 0,
        pr=batch.pr_number or 0,
        url=link_of(batch.pr_url or ""),
        started=milliseconds(batch.started_at),
        ended=milliseconds(batch.ended_at),
    )


def plain(head: Head) -> dict[str, Any]:
    """As one delta carries it: what is empty is left out, the page fills it in."""
    return {key: value for key, value in asdict(head).items() if value and key != "id"}


def row_of(batch: BatchView, task: MemberView) -> Row:
    running = task.status == "running"
    word, state = _says(batch, task)
    return Row(
        id=str(task.task_id),
        run=str(task.run_id),
        reference=task.reference,
        title=clip(task.title, 200),
        status=task.status,
        state=state,
        word=word,
        message=clip(task.message, 120) if running else "",
        reason=(task.reason or "")[:1000],
        output=bool(task.output),
        clash=clash_of([(one["reference"], one["files"]) for one in task.clashes]),
        open=task.status in MOVING and batch.status != "merging",
        added=short(task.additions) if task.files_changed else "",
        removed=short(task.deletions) if task.files_changed else "",
        cost=f"${task.cost:.2f}" if task.cost >= 0.005 else "",
        started=milliseconds(task.started_at),
        ended=milliseconds(task.handed_in_at or task.ended_at),
    )


def trial_of(trial: dict[str, Any]) -> Trial:
    return Trial(
        label=str(trial.get("label", "")),
        passed=bool(trial.get("passed")),
        command=str(trial.get("command", "")),
        seconds=f"{float(trial.get('seconds', 0)):.0f} s",
        output=str(trial.get("output", "")),
    )


def _says(batch: BatchView, task: MemberView) -> tuple[str, str]:
    """Its state in a word, and the colour of that."""
    if task.awaits_approval:
        return "To approve", "waiting"
    match task.status:
        case "completed":
            return ("Done" if batch.ended_at else "Ready to merge"), "done"
        case "skipped":
            return "Left out", "failed"
        case "running" if task.run_status == "waiting":
            return "Waits for you", "waiting"
        case _:
            return WORDS[task.status], STATES.get(task.status, "")
