"""One world of people and what is theirs. Every text in it is a canary: it says who may see it.

A canary, or the id of a thing, that turns up where its scope is not in sight is a leak.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args
from uuid import UUID, uuid4

from engine.models import StorageReport
from openlinear import db, vault
from openlinear.models import AuditEntry, Identity, InboxItem
from openlinear.services import (
    accounts,
    administration,
    credentials,
    first,
    github_hooks,
    invitations,
    labels,
    logins,
    members,
    preferences,
    providers,
    tasks,
    teams,
    tokens,
)
from openlinear.services.views import Actor
from tests.integration.permissions.things import SEALED, canary, fill, hooked, make_project
from tests.support.product import PASSWORD, MakeActor
from tests.support.teams import invited

Role = Literal["nobody", "first", "stranger", "other", "leaver", "member", "admin", "owner"]
ROLES: tuple[Role, ...] = get_args(Role)
"""`first` has the first account and is the administrator, `other` owns another team, `leaver` was in this."""
IN_TEAM: tuple[Role, ...] = ("member", "admin", "owner")
Kind = Literal["personal", "team", "member's"]
"""What is the owner's alone; what is the team's; what a member of the team executes in it."""
SIGHT: Mapping[Role, frozenset[str]] = {
    **{role: frozenset() for role in ROLES},
    "first": frozenset({"server"}),
    "member": frozenset({"team", "kept-member"}),
    "admin": frozenset({"team", "managed"}),
    "owner": frozenset({"team", "managed", "personal", "kept-personal", "kept-team"}),
}
"""The scopes that each role may be shown, beside what is their own."""


@dataclass(frozen=True)
class Person:
    """`own` are the ids of their own project, task, label and team, to be mixed with those of others."""

    role: Role
    actor: Actor
    token: str = field(repr=False)
    own: Mapping[str, str]


@dataclass(frozen=True)
class World:
    """`things` are the ids of each kind, by what they are called in the matrix."""

    people: Mapping[Role, Person]
    things: Mapping[Kind, Mapping[str, str]]
    scopes: Mapping[str, frozenset[str]]

    def hidden_from(self, role: Role, *shown: str) -> set[str]:
        """All texts and ids that this role is not to be shown, unless their scope is among `shown`."""
        seen = {*SIGHT[role], role, *shown}
        return {one for scope, needles in self.scopes.items() if scope not in seen for one in needles}


async def build(make_actor: MakeActor, home: Path) -> World:
    people = {role: await _person(role, make_actor) for role in ROLES[1:]}
    owner, member, leaver = (people[role].actor for role in ("owner", "member", "leaver"))
    personal = await _kind(owner, "personal", None, home) | await _account(owner)
    team = await _team(people, make_actor)
    team |= await _kind(owner, "team", UUID(team["team_id"]), home)
    project_id = UUID(team["project_id"])
    by_member = await fill(member, project_id, "team", "kept-member", home)
    team |= await _administer(people["first"].actor)
    by_leaver = await fill(leaver, project_id, "team", "kept-leaver", home)
    await members.remove_member(owner, UUID(team["team_id"]), leaver.id)
    await members.remove_member(owner, UUID(team["spare_team"]), leaver.id)
    await _disk([personal["project_id"], team["project_id"]])
    managed = {canary("managed"), *(team[name] for name in ("invitation_id", "webhook_id", "delivery_id"))}
    account = {team["account_invitation"]}
    known = {str(people[role].actor.id) for role in (*IN_TEAM, "leaver")}
    ids = {role: {person.actor.email, *person.own.values()} - known for role, person in people.items()}
    scopes = {
        **{role: frozenset({canary(role), *found}) for role, found in ids.items()},
        "personal": frozenset({canary("personal"), *personal.values()}),
        "team": frozenset({canary("team"), *known, *team.values(), *by_member.values(), *by_leaver.values()})
        - managed
        - account,
        "managed": frozenset(managed),
        "server": frozenset(account),
        "sealed": frozenset({SEALED, "$2b$"}),
        **{f"kept-{whose}": frozenset({canary(f"kept-{whose}")}) for whose in ("personal", "team", "member")},
        "kept-leaver": frozenset({canary("kept-leaver")}),
    }
    return World(people, {"personal": personal, "team": team, "member's": by_member}, scopes)


async def _person(role: Role, make_actor: MakeActor) -> Person:
    """Somebody who may execute, with something of their own."""
    scope = "team" if role in IN_TEAM else role
    actor = await make_actor(f"{role.title()} {canary(scope)}" if role != "leaver" else "Lea Leaver")
    async with db.transaction() as session:
        await providers.connect(
            session, actor, "mine", SEALED, base_url="https://models.example.com/v1", models=[canary(role)]
        )
        await preferences.update_settings(session, actor, {"parallel_limit": 9})
        label = await labels.create_label(session, actor, canary(role))
        for provider in ("github", "oidc"):
            own_id = Identity(user_id=actor.id, provider=provider, issuer=provider, subject=str(actor.id))
            own_id.login, own_id.token_secret = canary(role), vault.seal(credentials.PROVIDER, SEALED)
            session.add(own_id)
        own = {"my_label": label.id, "my_id": actor.id}
        if role not in ("first", "stranger"):
            own["my_team"] = (await teams.create_team(session, actor, canary(role))).id
    own["my_project"] = await make_project(actor, role)
    async with db.transaction() as session:
        wanted = tasks.TaskInput(own["my_project"], canary(role), labels=[str(label.id)])
        own["my_task"] = (await tasks.create_task(session, actor, wanted)).id
        told = InboxItem(user_id=actor.id, project_id=own["my_project"], task_id=own["my_task"])
        told.run_id, told.status, told.message = uuid4(), "done", canary(role)
        session.add(told)
    own["my_webhook"] = UUID((await hooked(actor, role))["webhook_id"])
    async with db.transaction() as session:
        token, _ = await accounts.login(session, actor.email, PASSWORD, address="test")
    return Person(role, actor, token, {name: str(ident) for name, ident in own.items()})


async def _team(people: Mapping[Role, Person], make_actor: MakeActor) -> dict[str, str]:
    """The team, one more without any project, a member to act upon, and an invitation; and one that leads
    to where nobody of these is.
    """
    owner, mate = people["owner"].actor, await make_actor(f"Mate {canary('team')}")
    async with db.transaction() as session:
        team, spare = [(await teams.create_team(session, owner, canary("team"))).id for _ in range(2)]
    for team_id in (team, spare):
        await invited(owner, team_id, people["admin"].actor, "admin")
        for guest in (people["member"].actor, people["leaver"].actor, mate):
            await invited(owner, team_id, guest)
    async with db.transaction() as session:
        made = await invitations.invite(session, owner, team)
        elsewhere = await teams.create_team(session, mate, canary("team"))
        into = await invitations.invite(session, mate, elsewhere.id, uses=9)
        session.add(
            AuditEntry(team_id=team, actor_id=owner.id, action="project:created", subject=canary("managed"))
        )
    ids = {"team_id": team, "spare_team": spare, "mate_id": mate.id, "invitation_id": made.invitation.id}
    return {**{name: str(ident) for name, ident in ids.items()}, "invitation": into.token}


async def _kind(owner: Actor, scope: str, team_id: UUID | None, home: Path) -> dict[str, str]:
    """A project with everything in it, and one that has nothing to hold it back."""
    project_id, spare = [await make_project(owner, scope, team_id) for _ in range(2)]
    async with db.transaction() as session:
        label = await labels.create_label(session, owner, canary(scope), team_id=team_id)
        await github_hooks.set_up(session, owner, project_id)
    ids = await fill(owner, project_id, scope, f"kept-{scope}", home)
    ids |= await hooked(owner, "managed" if team_id else scope, team_id)
    return {**ids, "project_id": str(project_id), "spare_project": str(spare), "label_id": str(label.id)}


async def _administer(actor: Actor) -> dict[str, str]:
    """Make this person the administrator; an invitation of theirs to make an account."""
    async with db.transaction() as session:
        await first.become(session, actor, first.token())
        admin = replace(actor, admin=True)
        await administration.invite(session, admin)
        (made,) = await administration.list_invitations(session, admin)
    return {"account_invitation": str(made.id)}


async def _account(owner: Actor) -> dict[str, str]:
    """Another login of the owner's, and an access token that may read."""
    async with db.transaction() as session:
        await accounts.login(session, owner.email, PASSWORD, address="test", device=canary("personal"))
        mine = await logins.list_logins(session, owner)
        (login,) = [one for one in mine if canary("personal") in one.device]
        made = await tokens.make(session, owner, canary("personal"))
    return {"login_id": str(login.id), "token_id": str(made.view.id), "reading": made.token}


async def _disk(project_ids: list[str]) -> None:
    """What takes space, as measured: it names projects by their ids."""
    parts = [{"kind": "repository", "subject": one, "bytes": 1, "user_id": None} for one in project_ids]
    async with db.transaction() as session:
        session.add(StorageReport(name="disk", value={"parts": parts, "free": 1, "total": 2}))
