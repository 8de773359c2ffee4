"""How a user's tasks are run."""

from typing import Any, TypedDict
from uuid import UUID

from sqlalchemy import cast, func
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from engine.limits import Limits
from openlinear.models import Preferences
from openlinear.services.errors import Invalid
from openlinear.services.limits import LimitsPatch, changed
from openlinear.services.views import Actor, ExecutionSettings

MOST = {"parallel_limit": 50, "max_batch_size": 50}
BEHAVIORS = ("skip", "fail", "resolve")


class SettingsPatch(TypedDict, total=False):
    parallel_limit: int
    max_batch_size: int
    auto_approve: bool
    stop_on_failure: bool
    conflict_behavior: str
    build_on_previous: bool
    limits: LimitsPatch


async def get_settings(session: AsyncSession, actor: Actor) -> ExecutionSettings:
    row = await session.get(Preferences, actor.id, populate_existing=True)
    if row is None:
        return ExecutionSettings()
    return ExecutionSettings(
        parallel_limit=row.parallel_limit,
        max_batch_size=row.max_batch_size,
        auto_approve=row.auto_approve,
        stop_on_failure=row.stop_on_failure,
        conflict_behavior=row.conflict_behavior,
        build_on_previous=row.build_on_previous,
        limits=Limits(**row.limits),
    )


async def slots(session: AsyncSession, user_id: UUID) -> int:
    """How many of a user's runs may be under way at once. For the engine; no actor."""
    row = await session.get(Preferences, user_id, populate_existing=True)
    return row.parallel_limit if row is not None else ExecutionSettings().parallel_limit


async def update_settings(session: AsyncSession, actor: Actor, patch: SettingsPatch) -> ExecutionSettings:
    _check(patch)
    if patch:
        change: dict[str, Any] = dict(patch)
        first: dict[str, Any] = dict(patch)
        if "limits" in patch:
            first["limits"] = changed({}, patch["limits"])
            both = col(Preferences.limits).op("||")(cast(dict(patch["limits"]), JSONB))
            change["limits"] = func.jsonb_strip_nulls(both)
        query = insert(Preferences).values(**Preferences(user_id=actor.id, **first).model_dump())
        await session.execute(query.on_conflict_do_update(index_elements=["user_id"], set_=change))
    return await get_settings(session, actor)


def _check(patch: SettingsPatch) -> None:
    camel = {"parallel_limit": "parallelLimit", "max_batch_size": "maxBatchSize"}
    for name, value in patch.items():
        if name in MOST and not (isinstance(value, int) and 1 <= value <= MOST[name]):
            reason = f"must be 1 to {MOST[name]}"
            raise Invalid(f"The {camel[name]} {reason}.", **{camel[name]: reason})
    if patch.get("conflict_behavior", "skip") not in BEHAVIORS:
        choice = ", ".join(BEHAVIORS)
        raise Invalid(f"The conflictBehavior must be one of: {choice}.", conflictBehavior=f"one of: {choice}")
