"""What a batch does next, told from where its tasks stand. Nothing is touched here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

Stage = Literal["waiting", "running", "handed_in", "done", "failed", "cancelled"]
"""`handed_in`: its work is there to be merged. `done`: it ended well and there is nothing to merge."""


@dataclass(frozen=True, slots=True)
class Rules:
    queue: bool
    auto_approve: bool
    stop_on_failure: bool
    cancelling: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where one task of a batch stands."""

    run_id: UUID
    task_id: UUID
    reference: str
    stage: Stage
    approved: bool = False
    waits_for: frozenset[UUID] = frozenset()
    """Tasks of the same batch."""
    again: bool = False
    """It was handed in before, and mends a conflict now."""
    readied: bool = False
    """Its workspace is made, or is being made."""
    starting: bool = False
    """It has a slot, and its agent has no prompt yet."""


@dataclass(frozen=True, slots=True)
class Begin:
    run_id: UUID


@dataclass(frozen=True, slots=True)
class Ready:
    """This task's workspace is made ahead: it begins as soon as a slot is free."""

    run_id: UUID


@dataclass(frozen=True, slots=True)
class LeaveOut:
    """This task is not begun."""

    run_id: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class AskApproval:
    """Nothing more begins until somebody has looked at what is there."""


@dataclass(frozen=True, slots=True)
class Merge:
    """Every task has come to its end or handed in its work."""


@dataclass(frozen=True, slots=True)
class Finish:
    """There is nothing to merge."""

    status: Literal["completed", "failed", "cancelled"]
    reason: str | None = None


Act = Begin | Ready | LeaveOut | AskApproval | Merge | Finish


AHEAD = 2
"""How many tasks' workspaces are made ahead. Each takes some memory of the user's sandbox."""


def next_act(rules: Rules, places: Sequence[Place], free: int, ahead: int = AHEAD) -> Act | None:
    """The next thing to do for a batch whose user has `free` slots; None while it waits for something.

    `places` in the batch's order; `ahead` is how many of them may be readied.
    """
    if rules.cancelling:
        over = all(place.stage in ("done", "failed", "cancelled") for place in places)
        return Finish("cancelled") if over else None
    if (out := _hopeless(rules, places)) is not None:
        return out
    if (act := _beginning(rules, places, free, ahead)) is not None:
        return act
    if any(place.stage in ("waiting", "running") for place in places):
        return None
    if any(place.stage == "handed_in" for place in places):
        return Merge()
    return _finish(places)


def _hopeless(rules: Rules, places: Sequence[Place]) -> LeaveOut | None:
    """The first task that is not to begin any more."""
    by_task = {place.task_id: place for place in places}
    failed = next((place for place in places if place.stage == "failed"), None)
    for place in places:
        if place.stage != "waiting" or place.again:
            continue
        for needed in (by_task[task_id] for task_id in place.waits_for if task_id in by_task):
            if needed.stage in ("failed", "cancelled"):
                what = "was cancelled" if needed.stage == "cancelled" else "has no result"
                return LeaveOut(place.run_id, f"It waits for {needed.reference}, which {what}.")
        if rules.stop_on_failure and failed is not None:
            reason = f"{failed.reference} failed, and the batch stops at the first failure."
            return LeaveOut(place.run_id, reason)
    return None


def _beginning(
    rules: Rules, places: Sequence[Place], free: int, ahead: int
) -> Begin | Ready | AskApproval | None:
    """The task whose turn it is, or the question whether it may begin. In a queue nothing is readied: what
    a task begins with may be what the one before it does. Nor is anything while another is on its way to its
    prompt: they would share the sandbox's one agent server, and the one that holds a slot would wait.
    """
    there = {place.task_id for place in places if place.stage in ("handed_in", "done")}
    here = {place.task_id for place in places}
    waiting = [place for place in places if place.stage == "waiting"]
    ready = [place for place in waiting if place.again or place.waits_for & here <= there]
    if rules.queue:
        if any(place.stage == "running" for place in places):
            return None
        ready = ready[:1]
        unseen = any(place.stage == "handed_in" and not place.approved for place in places)
        if ready and unseen and not rules.auto_approve and not ready[0].again:
            return AskApproval()
    if free > 0:
        return Begin(ready[0].run_id) if ready else None
    if rules.queue or sum(place.readied for place in waiting) >= ahead:
        return None
    if any(place.starting for place in places):
        return None
    return next((Ready(place.run_id) for place in ready if not place.readied and not place.again), None)


def _finish(places: Sequence[Place]) -> Finish:
    if any(place.stage == "done" for place in places):
        return Finish("completed")
    if any(place.stage == "failed" for place in places):
        return Finish("failed", "None of its tasks came to a result.")
    return Finish("cancelled")
