"""What a team shares on a real PostgreSQL, and what ends with a removal."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlmodel import col

from engine.errors import RunError
from engine.limits import Limits
from engine.models import KeptWork, Run, now
from openlinear import db
from openlinear.adapters import product as engine_side
from openlinear.models import Team
from openlinear.services import (
    access,
    audit,
    execution,
    labels,
    limits,
    members,
    preferences,
    projects,
    storage,
    tasks,
    teams,
)
from openlinear.services.errors import Conflict, Forbidden, Invalid, NotFound
from openlinear.services.projects import ProjectInput, ProjectPatch
from openlinear.services.teams import TeamPatch
from openlinear.services.views import Actor
from tests.support.teams import URL, Crew, invited


async def execute(actor: Actor, task_id: UUID) -> UUID:
    async with db.transaction() as session:
        return await execution.execute(session, actor, task_id)


async def status_of(run_id: UUID) -> str:
    async with db.transaction() as session:
        return (await session.get_one(Run, run_id)).status


# -- what they share ------------------------------------------------------------------------------------


async def test_task_numbers_are_the_teams_over_all_its_projects(crew: Crew) -> None:
    second = await projects.create_project(crew.admin, ProjectInput("Web shop", URL, team_id=crew.team.id))
    both = [crew.project, second] * 4
    made = await asyncio.gather(*(crew.task(project=project) for project in both))
    assert {card.identifier for card in made} == {f"CORE-{n}" for n in range(1, 9)}
    own = await projects.create_project(crew.member, ProjectInput("Core", URL))
    assert (await crew.task(project=own)).identifier == "CORE-1"
    async with db.transaction() as session:
        found = await tasks.list_tasks(session, crew.admin, tasks.TaskFilter(q="core-8"))
        assert [card.identifier for card in found.items] == ["CORE-8"]


async def test_labels_are_the_teams(crew: Crew) -> None:
    async with db.transaction() as session:
        shared = await labels.create_label(session, crew.member, "Bug", "red", team_id=crew.team.id)
        own = await labels.create_label(session, crew.member, "Bug")
        with pytest.raises(Conflict):
            await labels.create_label(session, crew.admin, "bug", team_id=crew.team.id)
        with pytest.raises(NotFound):
            await labels.create_label(session, crew.stranger, "Bug", team_id=crew.team.id)
        assert await labels.list_labels(session, crew.admin) == [shared]
        assert await labels.list_labels(session, crew.stranger) == []
        assert {one.id for one in await labels.list_labels(session, crew.member)} == {shared.id, own.id}
        assert await labels.for_project(session, crew.member, crew.project.id) == [shared]
        with pytest.raises(NotFound):
            await labels.update_label(session, crew.stranger, shared.id, name="Mine")
        wanted = tasks.TaskInput(crew.project.id, "Fix", labels=("bug",))
        assert (await tasks.create_task(session, crew.admin, wanted)).labels == (shared,)
        with pytest.raises(Invalid):
            await tasks.create_task(
                session, crew.member, tasks.TaskInput(crew.project.id, "Fix", labels=(str(own.id),))
            )
        assert (await labels.update_label(session, crew.admin, shared.id, name="Defect")).name == "Defect"


async def test_members_work_and_admins_manage(crew: Crew) -> None:
    card = await crew.task()
    async with db.transaction() as session:
        await tasks.update_task(session, crew.admin, card.id, {"title": "Better"})
        assert (await tasks.task(session, crew.owner, card.id)).title == "Better"
        with pytest.raises(NotFound):
            await tasks.task(session, crew.stranger, card.id)
        with pytest.raises(Forbidden):
            await projects.delete_project(session, crew.member, crew.project.id)
    for patch in (ProjectPatch(name="Mine"), ProjectPatch(remote_password="other")):
        with pytest.raises(Forbidden):
            await projects.update_project(crew.member, crew.project.id, patch)
        with pytest.raises(NotFound):
            await projects.update_project(crew.stranger, crew.project.id, patch)
        assert (await projects.update_project(crew.admin, crew.project.id, patch)).has_credential
    with pytest.raises(Forbidden):
        await projects.create_project(crew.member, ProjectInput("More", URL, team_id=crew.team.id))
    with pytest.raises(NotFound):
        await projects.create_project(crew.stranger, ProjectInput("More", URL, team_id=crew.team.id))


async def test_a_project_stays_where_it_was_made(crew: Crew) -> None:
    own = await projects.create_project(crew.owner, ProjectInput("Core", URL))
    await projects.refuse_to_move(crew.owner, crew.project.id, crew.team.id)
    for project_id, team_id in ((crew.project.id, None), (own.id, crew.team.id)):
        with pytest.raises(Conflict, match="stays where it was made"):
            await projects.refuse_to_move(crew.owner, project_id, team_id)


async def test_any_member_executes_and_admins_end_what_others_began(crew: Crew) -> None:
    first, second = await crew.task(), await crew.task()
    run_id = await execute(crew.member, first.id)
    await execute(crew.admin, second.id)
    assert (await engine_side().remote(crew.project.id, crew.member.id)).url == URL
    with pytest.raises(RunError):
        await engine_side().remote(crew.project.id, crew.stranger.id)
    async with db.transaction() as session:
        with pytest.raises(Forbidden, match="team's admins can cancel it"):
            await execution.cancel(session, crew.member, second.id)
        with pytest.raises(NotFound):
            await execution.cancel(session, crew.stranger, first.id)
        await execution.cancel(session, crew.owner, first.id)
    assert await status_of(run_id) == "cancelled"
    async with db.transaction() as session:
        latest = (await audit.of_team(session, crew.admin, crew.team.id, limit=1)).items[0]
    assert (latest.actor, latest.action, latest.subject) == ("Olga Owner", "run:cancelled", first.identifier)


async def test_a_teams_limits_hold_for_every_run_in_its_projects(crew: Crew) -> None:
    async with db.transaction() as session:
        with pytest.raises(Forbidden):
            await teams.update_team(session, crew.member, crew.team.id, TeamPatch(limits={"dollars": 9.0}))
        patch = TeamPatch(limits={"dollars": 2.0, "tokens": 500})
        assert (await teams.update_team(session, crew.admin, crew.team.id, patch)).limits.tokens == 500
        patch = TeamPatch(limits={"tokens": None})
        seen = await teams.update_team(session, crew.owner, crew.team.id, patch)
        assert seen.limits == Limits(dollars=2.0)
        await preferences.update_settings(session, crew.member, {"limits": {"dollars": 5.0, "attempts": 2}})
        above = await limits.above_tasks(session, crew.member, crew.team.id)
        assert (above.dollars, above.attempts) == (2.0, 2)
        assert (await limits.above_tasks(session, crew.member)).dollars == 5.0
    card = await crew.task()
    async with db.transaction() as session:
        run_id = await execution.execute(session, crew.member, card.id, {"dollars": 50.0})
    async with db.transaction() as session:
        run = await session.get_one(Run, run_id)
        assert Limits(**run.limits) == Limits(dollars=2.0, attempts=2)


# -- what ends with a removal ----------------------------------------------------------------------------


async def test_a_removed_member_sees_and_does_nothing_more(crew: Crew) -> None:
    card, other = await crew.task(), await crew.task()
    own = await projects.create_project(crew.member, ProjectInput("Own", URL))
    run_id = await execute(crew.member, card.id)
    kept = await execute(crew.member, (await crew.task(project=own)).id)
    others = await execute(crew.admin, other.id)
    await members.remove_member(crew.admin, crew.team.id, crew.member.id)
    assert await status_of(run_id) == "cancelled"
    assert (await status_of(kept), await status_of(others)) == ("queued", "queued")
    async with db.transaction() as session:
        assert [one.id for one in await projects.list_projects(session, crew.member)] == [own.id]
        assert await access.viewers(session, [crew.project.id]) == {
            crew.project.id: frozenset((crew.owner.id, crew.admin.id))
        }
        for refused in (
            tasks.task(session, crew.member, card.id),
            execution.log(session, crew.member, card.id),
            execution.execute(session, crew.member, card.id),
            labels.list_labels(session, crew.member, crew.team.id),
        ):
            with pytest.raises(NotFound):
                await refused
    with pytest.raises(RunError):
        await engine_side().remote(crew.project.id, crew.member.id)
    known = await engine_side().known()
    assert known.may_use(crew.admin.id, crew.project.id)
    assert known.may_use(crew.member.id, own.id)
    assert not known.may_use(crew.member.id, crew.project.id)
    await invited(crew.owner, crew.team.id, crew.member)
    async with db.transaction() as session:
        assert (await tasks.task(session, crew.member, card.id)).execution is not None


async def test_kept_work_of_a_teams_project_is_a_members_alone(crew: Crew) -> None:
    own = await projects.create_project(crew.member, ProjectInput("Own", URL))
    theirs, mine = uuid4(), uuid4()
    async with db.transaction() as session:
        for run_id, project_id in ((theirs, crew.project.id), (mine, own.id)):
            kept = {"run_id": run_id, "task_id": uuid4(), "project_id": project_id, "title": "Work"}
            over = now() + timedelta(days=1)
            session.add(KeptWork(**kept, user_id=crew.member.id, base_sha="1" * 40, expires_at=over))
    async with db.transaction() as session:
        assert {one.run_id for one in await storage.kept(session, crew.member)} == {theirs, mine}
        assert await storage.kept(session, crew.owner) == []
    await members.remove_member(crew.member, crew.team.id, crew.member.id)
    async with db.transaction() as session:
        assert [one.run_id for one in await storage.kept(session, crew.member)] == [mine]
        with pytest.raises(NotFound):
            await storage.download(session, crew.member, theirs)


async def test_nobody_begins_a_run_while_being_removed(crew: Crew) -> None:
    """Whichever comes first: no run of theirs is left open."""
    for _ in range(5):
        card = await crew.task()
        await asyncio.gather(
            execute(crew.member, card.id),
            members.remove_member(crew.owner, crew.team.id, crew.member.id),
            return_exceptions=True,
        )
        async with db.transaction() as session:
            open_runs = select(col(Run.id)).where(col(Run.ended_at).is_(None))
            assert list(await session.scalars(open_runs)) == []
            assert await access.role_in(session, crew.member.id, crew.team.id) is None
        await invited(crew.owner, crew.team.id, crew.member)


async def test_the_log_says_who_did_what_in_pages_and_holds_no_secret(crew: Crew) -> None:
    await members.remove_member(crew.member, crew.team.id, crew.member.id)
    await projects.update_project(crew.owner, crew.project.id, ProjectPatch(remote_password="0ther-secret"))
    async with db.transaction() as session:
        with pytest.raises(NotFound):
            await audit.of_team(session, crew.member, crew.team.id)
        page = await audit.of_team(session, crew.admin, crew.team.id, limit=3)
        rest = await audit.of_team(session, crew.admin, crew.team.id, cursor=page.next_cursor)
        assert rest.next_cursor is None
        said = [(one.actor.split()[0], one.action, one.subject) for one in (*page.items, *rest.items)]
        assert said == [
            ("Olga", "project:remote", "Cart service"),
            ("Mia", "member:left", "Mia Member"),
            ("Olga", "project:created", "Cart service"),
            ("Mia", "member:joined", "Mia Member"),
            ("Olga", "invitation:created", "member"),
            ("Abe", "member:joined", "Abe Admin"),
            ("Olga", "invitation:created", "admin"),
            ("Olga", "team:created", "Core team"),
        ]
        assert "secret" not in str(page) + str(rest)
        await invited(crew.owner, crew.team.id, crew.member)
        with pytest.raises(Forbidden):
            await audit.of_team(session, crew.member, crew.team.id)
        with pytest.raises(Invalid):
            await audit.of_team(session, crew.admin, crew.team.id, cursor="x")


async def test_a_team_counts_under_its_lock(crew: Crew) -> None:
    await asyncio.gather(*(crew.task() for _ in range(12)))
    async with db.transaction() as session:
        assert (await session.get_one(Team, crew.team.id)).task_counter == 12
