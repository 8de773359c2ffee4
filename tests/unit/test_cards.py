"""What a browser keeps of a task."""

import json
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from openlinear.components.cards import card_of, clip, initials, plain, progress_of, short, short_date
from openlinear.live import LiveState
from openlinear.services.views import Clash, ExecutionView, LabelView, TaskView

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ID = UUID(int=2**128 - 1)


def wire(value: object) -> str:
    """As Socket.IO writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def run(**changes: object) -> ExecutionView:
    values: dict[str, object] = {
        "run_id": ID,
        "status": "executing",
        "progress": 40,
        "message": "editing src/app.py",
        "error": None,
        "outcome": None,
        "user_id": ID,
        "model": "demo/demo-1",
        "branch": f"openlinear/{ID}",
        "pr_url": None,
        "pr_number": None,
        "additions": 0,
        "deletions": 0,
        "files_changed": 0,
        "tokens_in": 0,
        "tokens_out": 0,
        "cost": 0.0,
        "started_at": NOW,
        "ended_at": None,
        "created_at": NOW - timedelta(seconds=5),
        **changes,
    }
    return ExecutionView(**values)  # type: ignore[arg-type]


def task(execution: ExecutionView | None = None, **changes: object) -> TaskView:
    values: dict[str, object] = {
        "id": ID,
        "project_id": ID,
        "identifier": "CART-3",
        "title": "Round prices",
        "description": "",
        "status": "in_progress",
        "order": 1.0,
        "priority": "high",
        "labels": (),
        "due_date": None,
        "agent": "opencode",
        "model": "",
        "archived": False,
        "created_by": "Ada Lovelace",
        "created_at": NOW,
        "updated_at": NOW,
        "version": 2**40,
        "execution": execution,
        **changes,
    }
    return TaskView(**values)  # type: ignore[arg-type]


def test_a_card_says_what_its_run_does() -> None:
    card = card_of(task(run()))
    assert (card.run.state, card.run.open, card.run.message) == ("running", True, "editing src/app.py")
    assert card.run.started == int(NOW.timestamp() * 1000)
    assert card.initials == "AL"


@pytest.mark.parametrize(
    ("status", "state"),
    [("queued", "running"), ("waiting", "waiting"), ("failed", "failed"), ("done", "done")],
)
def test_a_run_has_one_colour(status: str, state: str) -> None:
    assert card_of(task(run(status=status))).run.state == state


def test_a_second_attempt_shows_and_a_first_does_not() -> None:
    first, second = (card_of(task(run(attempt=attempt, attempts=5))).run for attempt in (1, 2))
    assert (first.attempt, first.attempts) == (0, 0)
    assert (second.attempt, second.attempts) == (2, 5)


def test_a_run_that_reached_a_limit_is_told_from_one_that_failed() -> None:
    kinds = ("budget", "timeout", None)
    assert [card_of(task(run(status="failed", error_kind=kind))).run.over for kind in kinds] == [
        True,
        False,
        False,
    ]


def test_a_run_without_words_says_its_status() -> None:
    assert card_of(task(run(status="creating_pr", message=""))).run.message == "Opening the pull request"


def test_a_pull_request_that_is_no_web_address_is_no_link() -> None:
    assert card_of(task(run(status="done", pr_url="javascript:alert(1)"))).run.url == ""


@pytest.mark.parametrize("letter", ["a", "ß", "険", '"', "\\", "\x01", "😀"])
def test_the_largest_card_fits_one_small_frame(letter: str) -> None:
    long = letter * 10_000
    ended = run(
        status="failed",
        error=long,
        pr_url="https://github.com/" + "x" * 80,
        pr_number=10**6,
        additions=10**6,
        deletions=10**6,
        cost=1234.5,
        ended_at=NOW,
        error_kind="budget",
        attempt=99,
        attempts=100,
        batch_id=ID,
    )
    labels = tuple(LabelView(ID, long, "violet") for _ in range(9))
    card = card_of(task(ended, title=long, labels=labels, created_by=long, due_date=date(2026, 11, 24)))
    delta = {"delta": {LiveState.get_full_name(): {f"c:{ID}": {"n": 2**40, **plain(card)}}}, "events": []}
    assert len(f'42/_event,["event",{wire(delta)}]'.encode()) <= 1024


def test_a_card_in_a_batch_says_so_and_what_it_clashes_with() -> None:
    clash = Clash(ID, "CART-4", ("app.py",))
    queued = card_of(task(run(status="queued", message="Waits for its turn", batch_id=ID))).run
    assert (queued.message, queued.batch) == ("Queued in a batch", str(ID))
    assert card_of(task(run(clashes=(clash,)))).run.clash == "Would conflict with CART-4 in app.py"
    assert card_of(task(run(status="done", clashes=(clash,)))).run.clash == ""


@pytest.mark.parametrize("letter", ["a", "ß", "😀"])
def test_the_largest_running_card_fits_one_small_frame(letter: str) -> None:
    long = letter * 10_000
    clashes = tuple(Clash(ID, "CART-4", (long,)) for _ in range(9))
    labels = tuple(LabelView(ID, long, "violet") for _ in range(9))
    running = run(message=long, batch_id=ID, clashes=clashes, attempt=99, attempts=100)
    card = card_of(task(running, title=long, labels=labels, created_by=long, due_date=date(2026, 11, 24)))
    delta = {"delta": {LiveState.get_full_name(): {f"c:{ID}": {"n": 2**40, **plain(card)}}}, "events": []}
    assert len(f'42/_event,["event",{wire(delta)}]'.encode()) <= 1024


def test_progress_is_one_line_however_much_is_said() -> None:
    line = progress_of(str(ID), "executing", 5, "first\nsecond")["line"]
    assert line["message"] == "first"
    assert len(json.dumps(progress_of(str(ID), "executing", 5, "x" * 10_000))) < 400


def test_a_cut_text_shows_that_it_was_cut() -> None:
    assert clip("short", 20) == "short"
    assert clip("a" * 50, 20) == "a" * 17 + "…"


def test_a_due_date_shows_when_it_is_near() -> None:
    today = date(2026, 11, 22)
    days = {0: "today", 1: "tomorrow", 3: "Wed", 8: "", -2: "20 Nov"}
    assert {n: short_date(today + timedelta(days=n), today) for n in days} == days


def test_numbers_are_short() -> None:
    assert [short(n) for n in (0, 999, 1000, 1234, 3_400_000)] == ["0", "999", "1k", "1.2k", "3.4M"]


def test_initials() -> None:
    assert [initials(name) for name in ("Ada", "Ada King Lovelace", "")] == ["A", "AL", ""]
