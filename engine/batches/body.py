"""What a batch's one pull request says: for every task what it did, its checks, its cost."""

from sqlalchemy.ext.asyncio import AsyncSession

from engine.batches.advance import members_of
from engine.db import Database
from engine.models import Batch, Member, Run, RunDiff
from engine.pull_request import clean, file_line, summary

TITLE_CHARS = 200
SUMMARY_CHARS = 1500
FILES_LISTED = 20
BODY_CHARS = 60_000
"""GitHub takes 65,536."""


async def title(database: Database, batch: Batch) -> str:
    """`3 tasks: CART-1, CART-2 and CART-4`; a single task's own title."""
    async with database.transaction() as session:
        included = [run for member, run in await members_of(session, batch.id) if _included(member)]
    if len(included) == 1:
        return included[0].title
    names = [run.reference for run in included]
    listed = f"{len(names)} tasks: {', '.join(names[:-1])} and {names[-1]}"
    return listed if len(listed) <= TITLE_CHARS else f"{len(names)} tasks: {names[0]} to {names[-1]}"


async def body(database: Database, batch: Batch) -> str:
    """Markdown."""
    async with database.transaction() as session:
        members = await members_of(session, batch.id)
        included = [
            await _task(session, batch, run, FILES_LISTED) for member, run in members if _included(member)
        ]
        left_out = [_left_out(member, run) for member, run in members if member.left_out is not None]
    runs = [run for member, run in members if _included(member)]
    sections = [
        f"{len(runs)} of {len(members)} tasks, merged in order into `{batch.base_branch}`.",
        *included,
        *(["## Left out", "\n".join(left_out)] if left_out else []),
        _checks(batch),
        f"In all ${sum(run.cost for run in runs):.2f}.",
    ]
    text = "\n\n".join(section for section in sections if section)
    return (
        text if len(text) <= BODY_CHARS else text[:BODY_CHARS] + "\n\nCut here: there is more in OpenLinear."
    )


def _included(member: Member) -> bool:
    return member.merged_sha is not None and member.left_out is None


async def _task(session: AsyncSession, batch: Batch, run: Run, files_listed: int) -> str:
    diff = await session.get(RunDiff, run.id)
    files = diff.files if diff else []
    passed = f"Checks passed: {_commands(batch)}." if batch.checks else "The project names no checks."
    lines = [
        f"## {run.reference}: {clean(run.title)}",
        (await summary(session, run.id))[-SUMMARY_CHARS:] or "The agent left no summary.",
        "\n".join(file_line(file) for file in files[:files_listed])
        + (f"\n- {len(files) - files_listed} more files" if len(files) > files_listed else ""),
        f"{passed} {run.model}: {run.tokens_in + run.tokens_out:,} tokens, ${run.cost:.2f}.",
    ]
    return "\n\n".join(lines)


def _left_out(member: Member, run: Run) -> str:
    return f"- {run.reference}: {clean(run.title)}. {clean(member.left_out or '')}"


def _checks(batch: Batch) -> str:
    if not batch.checks:
        return ""
    return f"The merged result was tried in a fresh sandbox: {_commands(batch)} passed."


def _commands(batch: Batch) -> str:
    return ", ".join(f"`{clean(command)}`" for command in batch.checks)
