"""The open batch: what its panel shows, and what can be done there. `batch_panel.py` is its view."""

from typing import Any

import reflex as rx

from engine.batches.client import BatchView
from openlinear.components.acting import Personal, an_id
from openlinear.components.batches import Head, Row, Trial, head_of, row_of, trial_of
from openlinear.services import batches, feed
from openlinear.services.errors import NotFound

CONFLICT = {
    "skip": "what conflicts is left out",
    "fail": "a conflict fails it",
    "resolve": "agents resolve conflicts",
}


class BatchState(Personal, rx.State):
    """`news` is the number of the last news that it holds."""

    batch_id: str = ""
    head: Head = Head()
    news: int = 0
    branch: str = ""
    error: str = ""
    rules: str = ""
    rows: list[Row] = []
    outputs: dict[str, str] = {}
    """By task: what the check said that its merge broke."""
    trials: list[Trial] = []
    missing: bool = False

    @rx.event
    async def open(self) -> Any:
        """Show the batch that the address names, or none."""
        _, wanted = self._opened("b")
        if wanted != self.batch_id:
            owner = self._owner
            self.reset()
            self._owner, self.batch_id = owner, wanted
            yield
        if wanted:
            await self._read()

    @rx.event
    async def refresh(self) -> None:
        if self._opened("b")[1]:
            await self._read()

    @rx.event
    async def approve(self, batch_id: str) -> None:
        async with self._acting() as (session, actor):
            await batches.approve(session, actor, an_id(batch_id))

    @rx.event
    async def cancel(self, batch_id: str) -> None:
        async with self._acting() as (session, actor):
            await batches.cancel(session, actor, an_id(batch_id))

    @rx.event
    async def cancel_task(self, batch_id: str, task_id: str) -> None:
        async with self._acting() as (session, actor):
            await batches.cancel_task(session, actor, an_id(batch_id), an_id(task_id))

    @rx.event
    async def retry(self, batch_id: str) -> Any:
        """Execute what was left out, as a batch of its own, and show that."""
        async with self._acting() as (session, actor):
            made = await batches.retry(session, actor, an_id(batch_id))
        return rx.redirect(f"/p/{made.project_id}/b/{made.id}")

    async def _read(self) -> None:
        project, wanted = self._opened("b")
        try:
            async with self._acting() as (session, actor):
                seen = await feed.latest_id(session)  # before the rows, so that none is missed
                found = await batches.batch(session, actor, an_id(wanted))
                if found.project_id != an_id(project):
                    raise NotFound("There is no such batch.")
        except NotFound:
            self.missing = True
            return
        self._show(found)
        self.news = seen

    def _show(self, batch: BatchView) -> None:
        """What is as it was is not sent again."""
        now: dict[str, Any] = {
            "head": head_of(batch),
            "branch": batch.branch if batch.pushed else "",
            "error": batch.error or "",
            "rules": _rules(batch),
            "rows": [row_of(batch, task) for task in batch.tasks],
            "outputs": {str(task.task_id): task.output for task in batch.tasks if task.output},
            "trials": [trial_of(trial) for trial in batch.trials],
        }
        for name, value in now.items():
            if getattr(self, name) != value:
                setattr(self, name, value)


def _rules(batch: BatchView) -> str:
    """How it runs, in words."""
    queue = batch.mode == "queue"
    parts = [
        "One after another" if queue else "In parallel",
        *(["each task is approved"] if queue and not batch.auto_approve else []),
        *(["each builds on the one before"] if queue and batch.build_on_previous else []),
        *(["a failure stops it"] if batch.stop_on_failure else []),
        CONFLICT.get(batch.conflict_behavior, ""),
    ]
    return ", ".join(filter(None, parts))
