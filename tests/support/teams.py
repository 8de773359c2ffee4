"""A team of three, and somebody who is not in it."""

from dataclasses import dataclass

import pytest

from openlinear import db
from openlinear.services import invitations, projects, providers, tasks, teams
from openlinear.services.team_views import TeamView
from openlinear.services.views import Actor, ProjectView, TaskView
from tests.support.product import MakeActor

URL = "https://example.com/acme/cart.git"


@dataclass(frozen=True)
class Crew:
    """`team` and `project` as the owner sees them."""

    team: TeamView
    project: ProjectView
    owner: Actor
    admin: Actor
    member: Actor
    stranger: Actor

    async def task(self, title: str = "Do it", project: ProjectView | None = None) -> TaskView:
        """A card that the member makes."""
        async with db.transaction() as session:
            wanted = tasks.TaskInput((project or self.project).id, title)
            return await tasks.create_task(session, self.member, wanted)


async def invited(inviter: Actor, team_id: object, guest: Actor, role: str = "member") -> None:
    """Bring somebody in by a link."""
    async with db.transaction() as session:
        link = await invitations.invite(session, inviter, team_id, role=role)  # type: ignore[arg-type]
    async with db.transaction() as session:
        await invitations.join(session, guest, link.token)


@pytest.fixture
async def crew(make_actor: MakeActor) -> Crew:
    """Everybody has a model connected, so that they may execute."""
    people = [await make_actor(name) for name in ("Olga Owner", "Abe Admin", "Mia Member", "Sam Stranger")]
    owner, admin, member, stranger = people
    async with db.transaction() as session:
        for one in people:
            await providers.connect(session, one, "anthropic", "sk-test-1")
        team = await teams.create_team(session, owner, "Core team")
    await invited(owner, team.id, admin, "admin")
    await invited(owner, team.id, member)
    project = await projects.create_project(
        owner, projects.ProjectInput("Cart service", URL, remote_password="s3cret", team_id=team.id)
    )
    return Crew(team, project, owner, admin, member, stranger)
