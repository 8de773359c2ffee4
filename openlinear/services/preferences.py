"""How a user's tasks are run."""

from typing import TypedDict

from sqlalchemy.dialects.postgresql import insert
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.models import Preferences
from openlinear.services.errors import Invalid
from openlinear.services.views import Actor, ExecutionSettings

MOST = {"parallel_limit": 50, "max_batch_size": 50}
BEHAVIORS = ("skip", "fail")


class SettingsPatch(TypedDict, total=False):
    parallel_limit: int
    max_batch_size: int
    auto_approve: bool
    stop_on_failure: bool
    conflict_behavior: str


async def get_settings(session: AsyncSession, actor: Actor) -> ExecutionSettings:
    row = await session.get(Preferences, actor.id, populate_existing=True)
    if row is None:
        return ExecutionSettings()
    return ExecutionSettings(
        row.parallel_limit, row.max_batch_size, row.auto_approve, row.stop_on_failure, row.conflict_behavior
    )


async def update_settings(session: AsyncSession, actor: Actor, patch: SettingsPatch) -> ExecutionSettings:
    _check(patch)
    if patch:
        query = insert(Preferences).values(**Preferences(user_id=actor.id, **patch).model_dump())
        await session.execute(query.on_conflict_do_update(index_elements=["user_id"], set_=dict(patch)))
    return await get_settings(session, actor)


def _check(patch: SettingsPatch) -> None:
    camel = {"parallel_limit": "parallelLimit", "max_batch_size": "maxBatchSize"}
    for name, value in patch.items():
        if name in MOST and not (isinstance(value, int) and 1 <= value <= MOST[name]):
            reason = f"must be 1 to {MOST[name]}"
            raise Invalid(f"The {camel[name]} {reason}.", **{camel[name]: reason})
    if patch.get("conflict_behavior", "skip") not in BEHAVIORS:
        raise Invalid("The conflictBehavior must be skip or fail.", conflictBehavior="must be skip or fail")
