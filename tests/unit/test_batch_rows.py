"""What a browser keeps of a batch."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from engine.batches.client import BatchView, MemberView
from openlinear.components.batches import head_of, plain, row_of
from openlinear.live import LiveState

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ID = UUID(int=2**128 - 1)


def member(**changes: Any) -> MemberView:
    values: dict[str, Any] = {
        "task_id": ID,
        "run_id": ID,
        "reference": "CART-3",
        "title": "Round prices",
        "status": "running",
        "reason": None,
        "run_status": "executing",
        "progress": 40,
        "message": "editing src/app.py",
        "awaits_approval": False,
        "turn": 1,
        "output": "",
        "clashes": [],
        "branch": f"openlinear/{ID}",
        "pushed": False,
        "additions": 0,
        "deletions": 0,
        "files_changed": 0,
        "cost": 0.0,
        "started_at": NOW,
        "handed_in_at": None,
        "ended_at": None,
    }
    return MemberView(**{**values, **changes})


def batch(*tasks: MemberView, **changes: Any) -> BatchView:
    values: dict[str, Any] = {
        "id": ID,
        "project_id": ID,
        "user_id": ID,
        "created_at": NOW,
        "started_at": NOW,
        "ended_at": None,
        "mode": "queue",
        "status": "running",
        "message": "",
        "error": None,
        "auto_approve": False,
        "stop_on_failure": False,
        "conflict_behavior": "skip",
        "build_on_previous": False,
        "checks": (),
        "branch": f"openlinear/batch-{ID}",
        "pushed": False,
        "pr_url": None,
        "pr_number": None,
        "trials": (),
        "cancelling": False,
        "tasks": tasks,
    }
    return BatchView(**{**values, **changes})


def test_a_batch_in_one_line() -> None:
    ended = batch(
        member(status="completed"), member(status="skipped"), status="completed", ended_at=NOW, pr_number=12
    )
    head = head_of(ended)
    assert (head.total, head.done, head.left, head.open, head.word) == (2, 1, 1, False, "Done")
    moving = head_of(replace(ended, status="running", ended_at=None))
    assert (moving.left, moving.open) == (0, True), "nothing is retried before the end"
    assert head_of(replace(ended, cancelling=True)).word == "Cancelling"


@pytest.mark.parametrize(
    ("changes", "word", "state"),
    [
        ({"status": "queued"}, "Queued", ""),
        ({}, "Running", "running"),
        ({"run_status": "waiting"}, "Waits for you", "waiting"),
        ({"status": "completed"}, "Ready to merge", "done"),
        ({"status": "completed", "awaits_approval": True}, "To approve", "waiting"),
        ({"status": "skipped"}, "Left out", "failed"),
        ({"status": "cancelled"}, "Cancelled", "cancelled"),
    ],
)
def test_a_task_of_a_batch_has_one_word_and_colour(changes: dict[str, Any], word: str, state: str) -> None:
    task = member(**changes)
    row = row_of(batch(task), task)
    assert (row.word, row.state) == (word, state)


def test_a_row_says_what_it_would_conflict_with() -> None:
    clashes = [{"taskId": str(ID), "reference": "CART-4", "files": ["b.py", "a.py"]}]
    task = member(clashes=clashes)
    assert row_of(batch(task), task).clash == "Would conflict with CART-4 in a.py, b.py"


@pytest.mark.parametrize("letter", ["a", "ß", "\\", "😀"])
def test_the_largest_line_fits_one_small_frame(letter: str) -> None:
    long = letter * 10_000
    tasks = [member(status="skipped", title=long, reason=long, output=long) for _ in range(50)]
    full = batch(
        *tasks,
        message=long,
        error=long,
        ended_at=NOW,
        pr_number=10**6,
        pr_url="https://github.com/" + "x" * 80,
        trials=({"output": long},),
    )
    delta = {
        "delta": {LiveState.get_full_name(): {f"b:{ID}": {"n": 2**40, **plain(head_of(full))}}},
        "events": [],
    }
    frame = json.dumps(delta, ensure_ascii=False, separators=(",", ":"))
    assert len(f'42/_event,["event",{frame}]'.encode()) <= 1024
