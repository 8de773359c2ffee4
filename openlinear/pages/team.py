"""One team: who is in it, who may come, what its runs may cost, who did what. `team_view.py` is its view."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import reflex as rx
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.components.acting import Personal, an_id
from openlinear.components.audit import Deed, deed_of
from openlinear.components.limits import Bound, amount, bounds_of
from openlinear.services import audit, invitations, limits, members, projects, teams
from openlinear.services.errors import NotFound, ServiceError
from openlinear.services.team_views import InvitationView, MemberView, TeamView
from openlinear.services.views import Actor

PAGE = 20


@dataclass(frozen=True)
class Person:
    """A member. `settable` and `removable` say what this page's person may do."""

    id: str
    name: str
    username: str
    role: str
    own: bool
    settable: bool
    removable: bool


@dataclass(frozen=True)
class Link:
    """An invitation that can still be taken."""

    id: str
    role: str
    uses: int
    by: str
    ends: str


@dataclass(frozen=True)
class Place:
    id: str
    name: str


class TeamState(Personal, rx.State):
    team_id: str = ""
    name: str = ""
    key: str = ""
    role: str = ""
    missing: bool = False
    people: list[Person] = []
    asking: str = ""
    """Which member's or project's removal, or `team` for its own end, is to be confirmed."""
    places: list[Place] = []
    links: list[Link] = []
    made: str = ""
    """The link that was just made: it is shown until the page is left."""
    bounds: list[Bound] = []
    deeds: list[Deed] = []
    more: str = ""
    """Where the log goes on; empty at its end."""
    error: str = ""
    bounds_error: str = ""

    @rx.var
    def manages(self) -> bool:
        return self.role in ("owner", "admin")

    @rx.event
    async def load(self) -> None:
        owner = self._owner
        self.reset()
        self._owner = owner
        await self._read()

    async def _read(self) -> None:
        try:
            async with self._acting() as (session, actor):
                team = await teams.get_team(session, actor, self._team())
                self._show(team)
                found = await members.list_members(session, actor, team.id)
                self.people = [_person(one, team, actor) for one in found]
                seen = await projects.list_projects(session, actor)
                self.places = [Place(str(one.id), one.name) for one in seen if one.team_id == team.id]
                if self.role != "member":
                    await self._read_managed(session, actor, team.id)
        except NotFound:
            owner = self._owner
            self.reset()
            self._owner, self.missing = owner, True

    async def _read_managed(self, session: AsyncSession, actor: Actor, team_id: UUID) -> None:
        """What owners and admins see alone."""
        found = await invitations.list_invitations(session, actor, team_id)
        self.links = [_link(one) for one in found]
        page = await audit.of_team(session, actor, team_id, limit=PAGE)
        self.deeds, self.more = [deed_of(one) for one in page.items], page.next_cursor or ""

    def _show(self, team: TeamView) -> None:
        self.team_id, self.name, self.key, self.role = str(team.id), team.name, team.key, team.role
        self.bounds = bounds_of(team.limits, limits.in_force({}))

    def _team(self) -> UUID:
        """The team that the page's address names."""
        parts = self.router.url.path.strip("/").split("/")
        return an_id(parts[1] if len(parts) == 2 and parts[0] == "teams" else "")

    @rx.event
    async def more_deeds(self) -> None:
        async with self._acting() as (session, actor):
            page = await audit.of_team(session, actor, self._team(), limit=PAGE, cursor=self.more or None)
        self.deeds = [*self.deeds, *map(deed_of, page.items)]
        self.more = page.next_cursor or ""

    @rx.event
    async def rename(self, text: str) -> None:
        self.error = ""
        try:
            async with self._acting() as (session, actor):
                await teams.update_team(session, actor, self._team(), teams.TeamPatch(name=text))
        except ServiceError as error:
            self.error = str(error)
        else:
            await self._read()

    @rx.event
    async def set_limit(self, name: str, text: str) -> None:
        """A field of the limits was left; most often nothing was changed in it."""
        self.bounds_error = ""
        if any((one.name, one.value) == (name, text) for one in self.bounds):
            return
        try:
            patch = teams.TeamPatch(limits={name: amount(name, text)})
            async with self._acting() as (session, actor):
                await teams.update_team(session, actor, self._team(), patch)
        except ServiceError as error:
            self.bounds_error = str(error)
        else:
            await self._read()

    @rx.event
    async def invite(self, data: dict[str, Any]) -> None:
        """Make a link. It is shown to who made it, now and never again."""
        numbers = {name: int(text) if (text := str(data.get(name, ""))).isdigit() else 0 for name in NUMBERS}
        async with self._acting() as (session, actor):
            made = await invitations.invite(
                session, actor, self._team(), role=str(data.get("role", "")), **numbers
            )
        self.made = made.url
        await self._read()

    @rx.event
    async def revoke(self, link_id: str) -> None:
        async with self._acting() as (session, actor):
            await invitations.revoke(session, actor, self._team(), an_id(link_id))
        self.made = ""
        await self._read()

    @rx.event
    async def set_role(self, user_id: str, role: str) -> None:
        try:
            async with self._acting() as (session, actor):
                await members.set_role(session, actor, self._team(), an_id(user_id), role)
        finally:
            await self._read()

    @rx.event
    async def ask(self, what: str) -> None:
        self.asking = what

    @rx.event
    async def remove(self, user_id: str) -> Any:
        self.asking = ""
        async with self._acting() as (_, actor):
            pass
        await members.remove_member(actor, self._team(), an_id(user_id))
        if user_id == str(actor.id):
            return rx.redirect("/teams")
        await self._read()
        return None

    @rx.event
    async def remove_project(self, project_id: str) -> None:
        self.asking = ""
        async with self._acting() as (session, actor):
            await projects.delete_project(session, actor, an_id(project_id))
        await self._read()

    @rx.event
    async def delete(self) -> Any:
        self.asking = ""
        async with self._acting() as (session, actor):
            await teams.delete_team(session, actor, self._team())
        return rx.redirect("/teams")


NUMBERS = ("days", "uses")


def _person(one: MemberView, team: TeamView, actor: Actor) -> Person:
    own = one.user_id == actor.id
    over = team.role == "owner" or (team.role == "admin" and one.role != "owner")
    return Person(str(one.user_id), one.name, one.username, one.role, own, over, over or own)


def _link(one: InvitationView) -> Link:
    ends = f"{one.expires_at.day} {one.expires_at:%B}"
    return Link(str(one.id), one.role, one.uses_left, one.created_by, ends)
