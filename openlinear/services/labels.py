"""Labels: a user's, for the tasks of their projects."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.models import Label
from openlinear.services import text
from openlinear.services.cards import label_view
from openlinear.services.errors import Conflict, Invalid, NotFound
from openlinear.services.views import Actor, LabelView

NAME_LIMIT = 50
MOST_PER_TASK = 20
COLORS = (
    *(
        "slate",
        "gray",
        "red",
        "ruby",
        "crimson",
        "pink",
        "plum",
        "purple",
        "violet",
        "iris",
        "indigo",
        "blue",
    ),
    *("cyan", "sky", "teal", "jade", "green", "grass", "lime", "mint", "yellow", "amber", "orange", "brown"),
    "tomato",
)


async def list_labels(session: AsyncSession, actor: Actor) -> list[LabelView]:
    rows = await session.scalars(
        select(Label).where(col(Label.user_id) == actor.id).order_by(func.lower(col(Label.name)))
    )
    return [label_view(label) for label in rows]


async def create_label(session: AsyncSession, actor: Actor, name: str, color: str = "slate") -> LabelView:
    label = Label(user_id=actor.id, name=text.line(name, "name", limit=NAME_LIMIT), color=_color(color))
    return await _saved(session, label)


async def update_label(
    session: AsyncSession, actor: Actor, label_id: UUID, *, name: str | None = None, color: str | None = None
) -> LabelView:
    label = await _own(session, actor, label_id)
    if name is not None:
        label.name = text.line(name, "name", limit=NAME_LIMIT)
    if color is not None:
        label.color = _color(color)
    return await _saved(session, label)


async def delete_label(session: AsyncSession, actor: Actor, label_id: UUID) -> None:
    """Remove it, from every task as well."""
    await session.delete(await _own(session, actor, label_id))


async def found(session: AsyncSession, owner_id: UUID, wanted: Sequence[str]) -> list[UUID]:
    """The ids of these labels of the owner's, each named by id or by name. Invalid names one that is not."""
    if len(wanted) > MOST_PER_TASK:
        raise Invalid(
            f"A task has at most {MOST_PER_TASK} labels.", labels=f"at most {MOST_PER_TASK} per task"
        )
    if not wanted:
        return []
    names = {text.line(value, "labels", limit=200).lower(): value for value in wanted}
    ids = [label_id for value in names if (label_id := as_uuid(value))]
    rows = await session.scalars(
        select(Label).where(
            col(Label.user_id) == owner_id,
            or_(col(Label.id).in_(ids), func.lower(col(Label.name)).in_(list(names))),
        )
    )
    labels = list(rows)
    known = {label.name.lower() for label in labels} | {str(label.id) for label in labels}
    for key, value in names.items():
        if key not in known:
            raise Invalid(f'There is no label "{value}".', labels=f'no label "{value}"')
    return [label.id for label in labels]


def as_uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None


async def _own(session: AsyncSession, actor: Actor, label_id: UUID) -> Label:
    label = await session.scalar(
        select(Label).where(col(Label.id) == label_id, col(Label.user_id) == actor.id)
    )
    if label is None:
        raise NotFound("There is no such label.")
    return label


async def _saved(session: AsyncSession, label: Label) -> LabelView:
    try:
        async with session.begin_nested():
            session.add(label)
    except IntegrityError:
        raise Conflict(f'There is a label "{label.name}" already.') from None
    return label_view(label)


def _color(color: str) -> str:
    if color not in COLORS:
        choice = ", ".join(COLORS)
        raise Invalid(f"The color must be one of: {choice}.", color=f"must be one of: {choice}")
    return color
