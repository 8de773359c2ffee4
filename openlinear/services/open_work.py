"""What somebody has under way, for when it is no longer theirs to run. Unscoped: the caller has checked."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear import db
from openlinear.engine_client import batches_client, engine_client
from openlinear.services import batch_news, execution


@dataclass(frozen=True, slots=True)
class OpenWork:
    runs: tuple[UUID, ...] = ()
    batches: tuple[UUID, ...] = ()


async def find(session: AsyncSession, user_id: UUID, project_ids: Collection[UUID]) -> OpenWork:
    """This user's open runs and batches in these projects."""
    runs = await engine_client().open_of(session, user_id, project_ids)
    return OpenWork(tuple(runs), tuple(await batches_client().open_of(session, user_id, project_ids)))


async def end(work: OpenWork) -> None:
    """Cancel it, one by one: each end numbers its news in a transaction of its own."""
    for batch_id in work.batches:
        async with db.transaction() as session:
            await batches_client().cancel(session, batch_id)
            await batch_news.tell(session, batch_id, "updated")
    for run_id in work.runs:
        async with db.transaction() as session:
            await engine_client().cancel(session, run_id, execution.ended)
