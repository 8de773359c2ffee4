"""What a forge says of pull requests, as projects know it. Unscoped: who says so was checked."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.engine_client import engine_client
from openlinear.models import PullRequest
from openlinear.services import execution
from openlinear.settings import get_settings

NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}")
ACTIONS = ("opened", "reopened", "closed")


@dataclass(frozen=True, slots=True)
class Change:
    """A pull request of a repository is open, closed or merged since a moment of the forge's clock."""

    url: str
    state: str
    at: datetime


def read(content: Any) -> Change | None:
    """What an event `pull_request` of GitHub's says, as far as it matters here; else None.

    The address is put together from the repository that GitHub names and the number, as runs have it: a
    fork, or another repository with the same number, makes another address.
    """
    match content:
        case {
            "action": str(action),
            "repository": {"full_name": str(name)},
            "pull_request": {"number": int(number), "merged": bool(merged), "updated_at": str(at)},
        } if action in ACTIONS and NAME.fullmatch(name):
            url = f"{get_settings().github_url.rstrip('/')}/{name}/pull/{number}".lower()
            state = ("merged" if merged else "closed") if action == "closed" else "open"
            moment = _time(at)
            return Change(url, state, moment) if moment else None
    return None


async def changed(session: AsyncSession, change: Change, project_id: UUID | None) -> None:
    """Keep it for the projects whose runs opened it, or for this one alone, and move their cards."""
    runs = await engine_client().proposed(session, change.url)
    if project_id is not None:
        runs = [run for run in runs if run.project_id == project_id]
    news_to = [one for one in sorted({run.project_id for run in runs}) if await _keep(session, one, change)]
    told = [run for run in runs if run.project_id in news_to]
    if told:
        await execution.proposal_changed(session, told, merged=change.state == "merged")


async def _keep(session: AsyncSession, project_id: UUID, change: Change) -> bool:
    """Whether this is newer than what was known. Events may arrive in any order."""
    row = insert(PullRequest).values(
        project_id=project_id, url=change.url, state=change.state, changed_at=change.at
    )
    known, said = col(PullRequest.changed_at), row.excluded.changed_at
    # GitHub's times are of a second: what was opened and merged within one is merged.
    at_once = (known == said) & (col(PullRequest.state) == "open") & (row.excluded.state != "open")
    newer = row.on_conflict_do_update(
        index_elements=["project_id", "url"],
        set_={"state": row.excluded.state, "changed_at": row.excluded.changed_at},
        where=(known < said) | at_once,
    )
    return await session.scalar(newer.returning(col(PullRequest.state))) is not None


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None
