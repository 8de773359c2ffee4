"""Which tasks of a batch fit together: merged in order, tried by the project's checks, the rest left out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from engine.batches.advance import members_of
from engine.batches.record import BatchRecorder
from engine.batches.tasks import send_back
from engine.changes import known
from engine.checks import Tried, try_commit
from engine.errors import RunError
from engine.git.merge import Clash, Part, Train, merge
from engine.git.store import Store
from engine.models import Batch, Member, Run
from engine.signals import BATCHES
from engine.step import End, failure, success
from engine.world import World

AGAIN: End = success("again")
"""A conflict has gone back to its task, and the batch is under way again."""
FILES_NAMED = 5
OUTPUT_CHARS = 8000


@dataclass(slots=True)
class Yard:
    """A batch's tasks that have handed in their work, while they are put together."""

    here: World
    batch: Batch
    recorder: BatchRecorder
    store: Store
    base: str
    tasks: dict[UUID, tuple[Member, Run]] = field(default_factory=dict)
    """By their run's id, in the batch's order: those that are not left out."""

    async def gather(self) -> None:
        async with self.here.database.transaction() as session:
            members = await members_of(session, self.batch.id)
        self.tasks = {
            run.id: (member, run)
            for member, run in members
            if member.handed_in_at is not None
            and member.left_out is None
            and run.ended_at is None
            and run.cancel_requested_at is None
        }
        gone = [run for member, run in members if run.id not in self.tasks and run.head_sha is not None]
        for run in gone:
            await self.leave_out_builders(run)

    async def couple(self, runs: Sequence[UUID], *, stop_at_clash: bool = False) -> Train:
        """These tasks merged onto the base, in order."""
        return await merge(
            self.store,
            onto=self.base,
            parts=[
                Part(run.id, known(run.head_sha), f"Merge {run.reference}: {run.title}\n")
                for _, run in (self.tasks[run_id] for run_id in runs)
            ],
            author=(self.batch.author_name, self.batch.author_email),
            when=self.batch.created_at,
            stop_at_clash=stop_at_clash,
        )

    async def leave_out(self, run_id: UUID, reason: str, kind: str, output: str = "") -> None:
        """This task is not in the result, and neither is what builds on it."""
        async with self.recorder.transaction() as (session, batch):
            member = await session.get_one(Member, run_id, with_for_update=True, populate_existing=True)
            member.left_out, member.left_out_kind = reason, kind
            member.output = output[-OUTPUT_CHARS:]
            await session.flush()
            task_id = self.tasks[run_id][1].task_id
            await self.here.product.batch(session, batch.id, "task:skipped", task_id)
        _, run = self.tasks.pop(run_id)
        await self.leave_out_builders(run)

    async def leave_out_builders(self, gone: Run) -> None:
        """Work that stands on a task which is not in the result would bring it in all the same."""
        for run_id, (_, run) in list(self.tasks.items()):
            if run_id not in self.tasks or run.start_sha is None:
                continue
            if await self.store.contains(known(run.head_sha), known(gone.head_sha)):
                await self.leave_out(run_id, f"It builds on {gone.reference}, which is left out.", "clash")

    async def keep(self, train: Train) -> None:
        """This is the result."""
        await self.store.keep_batch(self.batch.id, train.head)
        async with self.recorder.transaction() as (session, batch):
            batch.head_sha = train.head
            for merged in train.merged:
                member = await session.get_one(Member, merged.run_id)
                member.merged_sha = merged.sha

    async def tried(self, sha: str, tree: str, label: str) -> Tried:
        """What the checks say of a commit. Asked once for each tree."""
        batch = await self.recorder.subject()
        if (known_already := batch.trials.get(tree)) is not None:
            return Tried(**{name: value for name, value in known_already.items() if name != "label"})
        await self.recorder.say(f"Checking {label}")
        tried = await try_commit(
            self.here,
            user_id=batch.user_id,
            project_id=batch.project_id,
            trial_id=uuid5(NAMESPACE_OID, str(batch.id)),
            base=self.base,
            sha=sha,
            commands=batch.checks,
            report=self.recorder.say,
        )
        shown: dict[str, Any] = {**asdict(tried), "output": tried.output[-OUTPUT_CHARS:], "label": label}
        await self.recorder.write(trials={**batch.trials, tree: shown})
        return tried


async def couple(yard: Yard) -> End | None:
    """Merge what fits; what does not is left out, goes back to its agent, or fails the batch."""
    await yard.gather()
    behavior = yard.batch.conflict_behavior
    while yard.tasks:
        train = await yard.couple(list(yard.tasks), stop_at_clash=behavior == "resolve")
        if not train.clashes:
            await yard.keep(train)
            return None
        for clash in train.clashes:
            if clash.run_id not in yard.tasks:
                continue  # it was left out with what it builds on
            member, run = yard.tasks[clash.run_id]
            reason = _clash_reason(yard, clash)
            if behavior == "fail":
                await yard.leave_out(run.id, reason, "clash")
                return failure(RunError(f"{run.reference} could not be merged. {reason}", "clash"))
            if behavior == "resolve" and member.turn == 1:
                await _send_back(yard, run, train, clash, reason)
                return AGAIN
            await yard.leave_out(run.id, reason, "clash")
    return failure(RunError("None of its tasks could be merged.", "clash"))


async def _send_back(yard: Yard, run: Run, train: Train, clash: Clash, reason: str) -> None:
    async with yard.recorder.transaction() as (session, batch):
        batch.status, batch.message = "running", f"{run.reference} resolves its conflict"
        await session.flush()
        await send_back(
            session, yard.here.product, run.id, others=train.head, files=list(clash.files), reason=reason
        )
    yard.here.signals.wake(BATCHES)


async def try_out(yard: Yard) -> End | None:
    """Check what was merged, whole. Where that fails, find the first task whose merge breaks it, leave that
    out, and check the rest."""
    await yard.gather()
    while yard.tasks:
        runs = list(yard.tasks)
        train = await yard.couple(runs)
        for clash in train.clashes:  # what was left out meanwhile had made room for it
            if clash.run_id in yard.tasks:
                await yard.leave_out(clash.run_id, _clash_reason(yard, clash), "clash")
        if train.clashes:
            continue
        tried = await yard.tried(train.head, train.tree, _count(len(runs)))
        if tried.passed:
            await yard.keep(train)
            return None
        await _require_sound_base(yard)
        bad, why = await _first_bad(yard, runs, tried)
        reason = f"Merged with the tasks before it, it breaks the check {why.command!r}."
        await yard.leave_out(bad, reason, "checks", why.output)
    return failure(RunError("None of its tasks passes the project's checks.", "checks"))


async def _require_sound_base(yard: Yard) -> None:
    """Where the default branch fails by itself, no task can be blamed. RunError then."""
    base = await yard.couple([])
    tried = await yard.tried(base.head, base.tree, yard.batch.base_branch)
    if not tried.passed:
        raise RunError(
            f"The check {tried.command!r} fails on {yard.batch.base_branch} itself ({yard.base[:9]}), so no "
            "task can be told to break it. Mend the branch or the project's checks, then retry the batch.",
            "checks",
        )


async def _first_bad(yard: Yard, runs: list[UUID], whole: Tried) -> tuple[UUID, Tried]:
    """By bisection: the first task with which the merge so far fails, and what the check said."""
    good, bad, why = 0, len(runs), whole
    while bad - good > 1:
        middle = (good + bad) // 2
        train = await yard.couple(runs[:middle])
        tried = await yard.tried(train.head, train.tree, f"the first {middle} of {len(runs)}")
        good, bad, why = (middle, bad, why) if tried.passed else (good, middle, tried)
    return runs[bad - 1], why


def _count(tasks: int) -> str:
    return "the merged result" if tasks > 1 else "the result"


def _clash_reason(yard: Yard, clash: Clash) -> str:
    names = [yard.tasks[run_id][1].reference for run_id in clash.others if run_id in yard.tasks]
    files = ", ".join(clash.files[:FILES_NAMED])
    if len(clash.files) > FILES_NAMED:
        files += f" and {len(clash.files) - FILES_NAMED} more"
    return f"It conflicts with {' and '.join(names) or yard.batch.base_branch} in {files}."
