"""What a run may cost: who may bound it, and which bounds count.

A run's own bounds take the place of its task's, kind by kind. Nobody's bounds go above the user's and the
team's whose project it is, and nothing above the installation's (see `engine.limits`).
"""

import math
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic.alias_generators import to_camel
from sqlalchemy import select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from engine.limits import Limits, strictest
from openlinear.models import Preferences, Team
from openlinear.services.errors import Invalid
from openlinear.services.views import Actor
from openlinear.settings import get_settings

LimitsPatch = Mapping[str, float | None]
"""The bounds to change, by their names in `Limits`; None takes one away."""

RANGES: dict[str, tuple[float, float]] = {
    "wall_seconds": (1, 7 * 24 * 3600),
    "idle_seconds": (1, 24 * 3600),
    "tokens": (1, 10**9),
    "dollars": (0.01, 100_000),
    "attempts": (1, 100),
}
WHOLE = ("tokens", "attempts")


def checked(patch: LimitsPatch) -> dict[str, Any]:
    """The patch, when every bound in it may be set. Invalid names the first that may not."""
    for name, value in patch.items():
        if name not in RANGES:
            raise _invalid(name, "is no limit there is")
        least, most = RANGES[name]
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise _invalid(name, "must be a number")
        if name in WHOLE and not isinstance(value, int):
            raise _invalid(name, "must be a whole number")
        if not least <= value <= most:
            raise _invalid(name, f"must be {least:,} to {most:,}")
    return dict(patch)


def changed(stored: Mapping[str, Any], patch: LimitsPatch) -> dict[str, Any]:
    """The bounds as they are kept once the patch is made."""
    return {name: value for name, value in {**stored, **checked(patch)}.items() if value is not None}


async def for_run(
    session: AsyncSession,
    actor: Actor,
    task: Mapping[str, Any],
    own: LimitsPatch | None = None,
    *,
    team_id: UUID | None,
) -> Limits:
    """The bounds of a run that this actor starts of a task with these bounds, in a project of this team's."""
    return strictest([Limits(**changed(task, own or {})), *await _ceilings(session, actor, team_id)])


async def above_tasks(session: AsyncSession, actor: Actor, team_id: UUID | None = None) -> Limits:
    """What bounds this actor's runs whatever their tasks say, the installation's bounds included."""
    return in_force(strictest(await _ceilings(session, actor, team_id)).stored())


def in_force(stored: dict[str, Any]) -> Limits:
    """A run's bounds as the engine keeps to them."""
    return Limits.of(stored, get_settings())


async def _ceilings(session: AsyncSession, actor: Actor, team_id: UUID | None) -> list[Limits]:
    """The bounds that no task and no run goes above: the user's, and the team's."""
    own = select(col(Preferences.limits)).where(col(Preferences.user_id) == actor.id)
    team = select(col(Team.limits)).where(col(Team.id) == team_id)
    return [Limits(**(await session.scalar(query) or {})) for query in (own, team)]


def _invalid(name: str, reason: str) -> Invalid:
    field = f"limits.{to_camel(name)}"
    return Invalid(f"The {field} {reason}.", **{field: reason})
