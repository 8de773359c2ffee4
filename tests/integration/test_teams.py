"""Teams on a real PostgreSQL: who is in them, and who comes in."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update
from sqlmodel import col

from engine.models import now
from openlinear import db
from openlinear.models import AuditEntry, Invitation
from openlinear.services import (
    access,
    housekeeping,
    invitations,
    members,
    projects,
    teams,
)
from openlinear.services.errors import Conflict, Forbidden, Invalid, NotFound, TooMany
from openlinear.services.team_views import NewInvitation
from openlinear.services.views import Actor
from tests.support.product import MakeActor, Workerless
from tests.support.teams import Crew


async def invite(actor: Actor, team_id: UUID, **more: object) -> NewInvitation:
    async with db.transaction() as session:
        return await invitations.invite(session, actor, team_id, **more)  # type: ignore[arg-type]


async def join(actor: Actor, token: str) -> str:
    async with db.transaction() as session:
        return (await invitations.join(session, actor, token)).role


async def set_role(actor: Actor, crew: Crew, whose: Actor, role: str) -> None:
    async with db.transaction() as session:
        await members.set_role(session, actor, crew.team.id, whose.id, role)


async def roles(crew: Crew) -> dict[str, str]:
    async with db.transaction() as session:
        found = await members.list_members(session, crew.owner, crew.team.id)
    return {one.name.split()[0]: one.role for one in found}


# -- the team itself ------------------------------------------------------------------------------------


async def test_a_team_is_its_makers_and_seen_by_its_members_alone(crew: Crew) -> None:
    async with db.transaction() as session:
        assert (crew.team.name, crew.team.key, crew.team.role) == ("Core team", "CORE", "owner")
        seen = await teams.get_team(session, crew.member, crew.team.id)
        assert (seen.role, seen.members, seen.projects) == ("member", 3, 1)
        assert await teams.list_teams(session, crew.stranger) == []
        for team_id in (crew.team.id, uuid4()):
            with pytest.raises(NotFound) as refused:
                await teams.get_team(session, crew.stranger, team_id)
            assert str(refused.value) == access.NO_TEAM


async def test_keys_differ_among_ones_own_teams_and_tell_nothing_of_others(
    crew: Crew, product: Workerless
) -> None:
    async with db.transaction() as session:
        names = ("Core", "日本", "core-2")
        keys = [(await teams.create_team(session, crew.owner, name)).key for name in names]
        assert keys == ["CORE2", "TEAM", "CORE3"]
        assert (await teams.create_team(session, crew.stranger, "Core")).key == "CORE"
        assert (await teams.create_team(session, crew.stranger, "Else", "XY7")).key == "XY7"
        for key in ("xy", "7X", "TOOLONG", "A-B", "Ä"):
            with pytest.raises(Invalid):
                await teams.create_team(session, crew.stranger, "Else", key)


async def test_a_team_goes_once_its_projects_are_gone_and_leaves_its_log(crew: Crew) -> None:
    async with db.transaction() as session:
        for one in (crew.admin, crew.member):
            with pytest.raises(Forbidden):
                await teams.delete_team(session, one, crew.team.id)
        with pytest.raises(Conflict, match="1 project"):
            await teams.delete_team(session, crew.owner, crew.team.id)
    async with db.transaction() as session:
        await projects.delete_project(session, crew.owner, crew.project.id)
        await teams.delete_team(session, crew.owner, crew.team.id)
    async with db.transaction() as session:
        assert await teams.list_teams(session, crew.admin) == []
        mine = col(AuditEntry.team_id) == crew.team.id
        log = select(col(AuditEntry.action)).where(mine).order_by(col(AuditEntry.id))
        assert list(await session.scalars(log))[-2:] == ["project:deleted", "team:deleted"]


# -- who is in it ---------------------------------------------------------------------------------------


async def test_an_invitation_is_taken_once_and_kept_as_a_digest(crew: Crew, make_actor: MakeActor) -> None:
    made = await invite(crew.admin, crew.team.id)
    assert made.url.endswith(f"/join/{made.token}")
    assert made.token not in repr(made)
    async with db.transaction() as session:
        kept = await session.get_one(Invitation, made.invitation.id)
        assert made.token not in str(kept.model_dump())
        welcome = await invitations.look(session, crew.stranger, made.token)
    assert (welcome.team, welcome.invited_by, welcome.member) == ("Core team", "Abe Admin", False)
    guests = [crew.stranger, *[await make_actor(f"Guest {n}") for n in range(3)]]
    answers = await asyncio.gather(*(join(one, made.token) for one in guests), return_exceptions=True)
    assert sorted(map(str, answers)) == [*[invitations.WRONG] * 3, "member"]


async def test_who_is_in_already_spends_no_use_and_keeps_their_role(crew: Crew) -> None:
    made = await invite(crew.owner, crew.team.id, role="admin")
    assert await join(crew.member, made.token) == "member"
    assert await join(crew.stranger, made.token) == "admin"


async def test_an_invitation_ends_by_time_by_hand_and_with_who_made_it(
    crew: Crew, make_actor: MakeActor
) -> None:
    late, revoked, fired, demoted = [
        await invite(who, crew.team.id, uses=5) for who in (crew.owner, crew.owner, crew.admin, crew.admin)
    ]
    async with db.transaction() as session:
        assert len(await invitations.list_invitations(session, crew.owner, crew.team.id)) == 4
        ended = update(Invitation).where(col(Invitation.id) == late.invitation.id)
        await session.execute(ended.values(expires_at=now() - timedelta(seconds=1)))
        await invitations.revoke(session, crew.admin, crew.team.id, revoked.invitation.id)
    await set_role(crew.owner, crew, crew.admin, "member")
    for one in (late, revoked, fired, demoted):
        with pytest.raises(NotFound, match="Ask for a new one"):
            await join(crew.stranger, one.token)
    async with db.transaction() as session:
        assert await invitations.list_invitations(session, crew.owner, crew.team.id) == []
        await housekeeping.sweep(session)
        assert list(await session.scalars(select(Invitation))) == []


async def test_wrong_links_are_counted_and_right_ones_are_not(crew: Crew) -> None:
    for _ in range(invitations.TRIES - 1):
        with pytest.raises(NotFound):
            await join(crew.stranger, "wrong")
    made = await invite(crew.owner, crew.team.id)
    async with db.transaction() as session:
        assert (await invitations.look(session, crew.stranger, made.token)).team == "Core team"
    for _ in range(invitations.TRIES):
        with pytest.raises(NotFound):
            await join(crew.stranger, "wrong\ud83d")
    with pytest.raises(TooMany):
        await join(crew.stranger, made.token)


@pytest.mark.parametrize("wrong", [{"role": "owner"}, {"role": "x"}, {"days": 0}, {"days": 31}, {"uses": 0}])
async def test_what_is_no_invitation_is_refused_by_name(crew: Crew, wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid) as refused:
        await invite(crew.owner, crew.team.id, **wrong)
    assert set(refused.value.fields) == set(wrong)


async def test_admins_do_not_touch_owners_and_the_last_owner_stays(crew: Crew) -> None:
    for actor, whose, role in (
        (crew.admin, crew.owner, "member"),
        (crew.admin, crew.member, "owner"),
        (crew.admin, crew.admin, "owner"),
        (crew.member, crew.member, "admin"),
    ):
        with pytest.raises(Forbidden):
            await set_role(actor, crew, whose, role)
    with pytest.raises(Forbidden):
        await members.remove_member(crew.admin, crew.team.id, crew.owner.id)
    with pytest.raises(Forbidden):
        await members.remove_member(crew.member, crew.team.id, crew.admin.id)
    with pytest.raises(Conflict, match="only one"):
        await set_role(crew.owner, crew, crew.owner, "member")
    with pytest.raises(Conflict, match="or delete the team"):
        await members.remove_member(crew.owner, crew.team.id, crew.owner.id)
    await set_role(crew.admin, crew, crew.member, "admin")
    await set_role(crew.owner, crew, crew.admin, "owner")
    assert await roles(crew) == {"Olga": "owner", "Abe": "owner", "Mia": "admin"}


async def test_two_owners_who_leave_at_once_leave_one(crew: Crew) -> None:
    await set_role(crew.owner, crew, crew.admin, "owner")
    leaving = (members.remove_member(one, crew.team.id, one.id) for one in (crew.owner, crew.admin))
    answers = await asyncio.gather(*leaving, return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["Conflict", "NoneType"]
