"""From what an agent left in its workspace to a commit in the store, and where that may be pushed."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from engine.errors import RunError
from engine.git import workspace
from engine.git.diff import diff
from engine.git.mirror import Mirror
from engine.git.remote import Remote
from engine.git.store import Store
from engine.git.transport import remote_tip
from engine.models import Run, RunDiff
from engine.ports import Box, Credential
from engine.record import Recorder
from engine.world import World


@dataclass(frozen=True, slots=True)
class Mends:
    """A run's own commit, the others', and the files in which they conflict."""

    own: str
    others: str
    files: tuple[str, ...]


async def collect_changes(
    here: World, run: Run, box: Box, recorder: Recorder, *, mends: Mends | None = None
) -> bool:
    """Commit the workspace's state into the store and keep its diff. False when nothing changed.

    With `mends`, the work reconciles the run's first result with others'. RunError where it does not.
    """
    store = Store(Mirror(here.settings.repos, run.project_id))
    base, limit_mb = known(run.base_sha), here.settings.pack_limit_mb
    await here.sandbox.stop_run(box, run.id)
    async with incoming(here.settings.repos, run.id) as folder:
        pack = folder / "work.pack"
        with pack.open("wb") as out:
            taken = await workspace.collect(
                here.sandbox,
                box,
                run.id,
                project_id=run.project_id,
                base=base,
                pack_out=out,
                limit_mb=limit_mb,
            )
        for number, note in enumerate(taken.notes):
            await recorder.note(note, part=f"collect:{number}", level="warning")
        if not taken.changed:
            return False
        await store.import_pack(
            run.id, base=base, head=taken.head, tree=taken.tree, pack=pack, limit_mb=limit_mb
        )
    if mends is not None and (marked := await store.marked(taken.tree, mends.files)):
        raise RunError(f"There are conflict markers left in {', '.join(marked[:5])}.", "clash")
    start = run.start_sha or base
    sha = await store.commit(
        run.id,
        base=start,
        head=taken.head,
        tree=taken.tree,
        parents=(mends.own, mends.others) if mends else None,
        message=f"{run.title}\n\nCo-authored-by: {_agent_name(run.agent)}\n",
        author=(run.author_name, run.author_email),
        when=run.created_at,
    )
    if sha == start:
        return False
    await _keep_diff(recorder, store, start, sha)
    return True


@asynccontextmanager
async def incoming(repos: Path, run_id: UUID) -> AsyncIterator[Path]:
    """A folder for what goes to or comes from the run's sandbox. Named by the run: a repeat clears what a
    dead worker left."""
    folder = repos / "incoming" / str(run_id)
    await discard_incoming(repos, run_id)
    folder.mkdir(mode=0o700, parents=True)
    try:
        yield folder
    finally:
        await discard_incoming(repos, run_id)


async def discard_incoming(repos: Path, run_id: UUID) -> None:
    await asyncio.to_thread(shutil.rmtree, repos / "incoming" / str(run_id), ignore_errors=True)


async def _keep_diff(recorder: Recorder, store: Store, base: str, sha: str) -> None:
    """The commit and what it changed, for the page: the web process reads no repository."""
    change = await diff(store, base, sha)
    patch = change.patch.replace("\x00", "\N{SYMBOL FOR NULL}")
    async with recorder.transaction() as (session, run):
        await session.merge(
            RunDiff(run_id=run.id, patch=patch, files=[asdict(file) for file in change.files])
        )
        run.head_sha, run.files_changed = sha, len(change.files)
        run.additions, run.deletions = change.additions, change.deletions


async def free_branch(
    name: str, store: Store, remote: Remote, credential: Credential | None
) -> tuple[str, str | None]:
    """A branch of this name that is new or whose tip is ours, and that tip; with a suffix where it is not.

    Nobody's commits are overwritten.
    """
    for suffix in ("", *(f"-{n}" for n in range(2, 100))):
        branch = f"{name}{suffix}"
        tip = await remote_tip(remote, credential, branch)
        if tip is None or await store.is_ours(tip):
            return branch, tip
    raise RunError(
        f"Every branch name from {name} on is taken by somebody's commits. "
        "Delete those branches on the remote, then retry.",
        "remote",
    )


def known(value: str | None) -> str:
    """What an earlier step wrote to the run's row."""
    if value is None:
        raise RuntimeError("a step ran before the one that records what it needs")
    return value


def _agent_name(agent: str) -> str:
    names = {"opencode": "OpenCode <noreply@opencode.ai>"}
    return names.get(agent, f"{agent} <noreply@localhost>")
