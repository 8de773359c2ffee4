"""Who may begin: at most so many runs of a user at once. Every admission goes through the user's lock."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from engine.models import NextRun, Run


class AlreadyRunning(Exception):
    """These tasks have a run that has not ended."""

    def __init__(self, task_ids: Collection[UUID] = ()) -> None:
        super().__init__("running already")
        self.task_ids = frozenset(task_ids)


async def hold_admission(session: AsyncSession, user_id: UUID) -> None:
    """Make this user's admissions wait until the transaction ends. To be taken before any row's lock."""
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": f"admit:{user_id}"}
    )


async def take_opened(session: AsyncSession, user_id: UUID) -> UUID | None:
    """The id that the user's next run is to have, where its folder was opened ahead. Nobody gets it twice."""
    ready = delete(NextRun).where(col(NextRun.user_id) == user_id, col(NextRun.ready))
    return await session.scalar(ready.returning(col(NextRun.run_id)))


async def slots_taken(session: AsyncSession, user_id: UUID) -> int:
    """How many runs of this user count towards the parallel limit; those that wait to be begun do."""
    query = select(func.count()).select_from(Run).where(col(Run.user_id) == user_id)
    return await session.scalar(query.where(col(Run.ended_at).is_(None), col(Run.takes_slot))) or 0


async def running(session: AsyncSession, task_ids: Collection[UUID]) -> set[UUID]:
    """Those of these tasks that have a run which has not ended."""
    query = select(col(Run.task_id)).where(col(Run.task_id).in_(task_ids), col(Run.ended_at).is_(None))
    return set(await session.scalars(query))
