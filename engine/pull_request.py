"""What a pull request says: what the task asked, and what was done."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from engine.db import Database
from engine.models import Run, RunDiff, RunEvent

SUMMARY_CHARS = 4000
ASKED_CHARS = 8000
FILES_LISTED = 50


async def body(database: Database, run: Run) -> str:
    """Markdown: the task's prompt, the agent's last words, the files it changed, the cost."""
    async with database.transaction() as session:
        said = await summary(session, run.id)
        diff = await session.get(RunDiff, run.id)
    files = diff.files if diff else []
    sections = [
        "## What was asked",
        _quote(run.prompt[:ASKED_CHARS]),
        "## What was done",
        said or "The agent left no summary.",
        "\n".join(file_line(file) for file in files[:FILES_LISTED]),
        f"{len(files) - FILES_LISTED} more files." if len(files) > FILES_LISTED else "",
        f"By {run.agent} with {run.model}: {run.tokens_in + run.tokens_out:,} tokens, ${run.cost:.2f}.",
    ]
    return "\n\n".join(section for section in sections if section)


async def summary(session: AsyncSession, run_id: UUID) -> str:
    """What the agent said last, when it was done; empty where it said nothing."""
    rows = await session.execute(
        select(col(RunEvent.part), col(RunEvent.message))
        .where(col(RunEvent.run_id) == run_id, col(RunEvent.kind) == "text")
        .order_by(col(RunEvent.seq))
    )
    return _last_part(list(rows.tuples()))


def _last_part(pieces: list[tuple[str, str]]) -> str:
    """The text of the part that was begun last: what an agent says when it is done."""
    if not pieces:
        return ""
    last = pieces[-1][0]
    return "".join(text for part, text in pieces if part == last).strip()[-SUMMARY_CHARS:]


def _quote(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())


def clean(text: str) -> str:
    """A line that closes no code span."""
    return text.replace("`", "'").replace("\n", " ")


def file_line(file: dict[str, object]) -> str:
    return f"- `{clean(str(file['path']))}` +{file['additions']} -{file['deletions']}"
