"""Webhooks, a person's or a team's by the page's address. `webhooks_view.py` is their view."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import reflex as rx

from openlinear.components.acting import Personal, an_id
from openlinear.components.cards import milliseconds
from openlinear.services import github_hooks, teams, webhooks
from openlinear.services.errors import Forbidden, NotFound, ServiceError
from openlinear.services.webhook_events import EVENTS
from openlinear.services.webhooks import DeliveryView, WebhookPatch, WebhookView

SHOWN = 20
LOOKS = 12
LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Hook:
    id: str
    url: str
    about: str
    """Its description, or what it is told of."""
    enabled: bool
    trouble: str


@dataclass(frozen=True)
class Sent:
    id: str
    type: str
    status: str
    said: str
    """What came of it, in words."""
    at: int


@dataclass(frozen=True)
class Source:
    """A project that GitHub may tell of. `heard` is when it last did, 0 for never."""

    id: str
    name: str
    on: bool
    url: str
    heard: int


class WebhooksState(Personal, rx.State):
    at_team: str = ""
    team: str = ""
    ready: bool = False
    missing: bool = False
    hooks: list[Hook] = []
    sources: list[Source] = []
    open: str = ""
    """Whose deliveries are shown."""
    sent: list[Sent] = []
    secret: str = ""
    """The one that was just made, until the page is left or another one is."""
    secret_of: str = ""
    asking: str = ""
    error: str = ""

    @rx.event
    async def load(self) -> None:
        owner = self._owner
        self.reset()
        self._owner = owner
        await self._read()

    async def _read(self) -> None:
        try:
            async with self._acting() as (session, actor):
                team_id = self._team()
                if team_id is not None:
                    self.team = (await teams.get_team(session, actor, team_id)).name
                self.hooks = [_hook(one) for one in await webhooks.list_webhooks(session, actor, team_id)]
                found = await github_hooks.list_hooks(session, actor, team_id)
                self.sources = [_source(one) for one in found]
                if self.open:
                    page = await webhooks.deliveries(session, actor, an_id(self.open), limit=SHOWN)
                    self.sent = [_sent(one) for one in page.items]
            self.at_team, self.ready = str(team_id or ""), True
        except (NotFound, Forbidden):
            owner = self._owner
            self.reset()
            self._owner, self.missing = owner, True

    def _team(self) -> UUID | None:
        """The team that the page's address names."""
        parts = self.router.url.path.strip("/").split("/")
        return an_id(parts[1]) if parts[0] == "teams" and len(parts) > 1 else None

    @rx.event
    async def add(self, data: dict[str, Any]) -> None:
        self.error = ""
        events = [event for event in EVENTS if data.get(event)]
        try:
            async with self._acting() as (session, actor):
                made = await webhooks.create_webhook(
                    session,
                    actor,
                    str(data.get("url", "")),
                    description=str(data.get("description", "")),
                    events=events,
                    team_id=self._team(),
                )
        except ServiceError as error:
            self.error = str(error)
            return
        self.secret, self.secret_of = made.secret, str(made.webhook.id)
        await self._read()

    @rx.event
    async def enable(self, hook_id: str, on: bool) -> None:
        async with self._acting() as (session, actor):
            await webhooks.update_webhook(session, actor, an_id(hook_id), WebhookPatch(enabled=on))
        await self._read()

    @rx.event
    async def rotate(self, hook_id: str) -> None:
        async with self._acting() as (session, actor):
            made = await webhooks.rotate_secret(session, actor, an_id(hook_id))
        self.secret, self.secret_of = made.secret, hook_id

    @rx.event
    async def ask(self, hook_id: str) -> None:
        self.asking = hook_id

    @rx.event
    async def remove(self, hook_id: str) -> None:
        self.asking = self.open = ""
        async with self._acting() as (session, actor):
            await webhooks.delete_webhook(session, actor, an_id(hook_id))
        await self._read()

    @rx.event
    async def show(self, hook_id: str) -> None:
        """Open this webhook's log, or fold it."""
        self.open, self.sent = "" if self.open == hook_id else hook_id, []
        await self._read()

    @rx.event
    async def test(self, hook_id: str) -> None:
        self.open = hook_id
        async with self._acting() as (session, actor):
            await webhooks.send_test(session, actor, an_id(hook_id))
        await self._read()

    @rx.event
    async def again(self, delivery_id: str) -> None:
        async with self._acting() as (session, actor):
            await webhooks.send_again(session, actor, an_id(self.open), an_id(delivery_id))
        await self._read()

    @rx.event(background=True)
    async def watch(self) -> None:
        """Show what comes of it, if it comes soon."""
        for _ in range(LOOKS):
            async with self:
                await self._read()
                if not any(one.status == "pending" for one in self.sent):
                    return
            await asyncio.sleep(LOOK_SECONDS)

    @rx.event
    async def listen(self, project_id: str) -> None:
        """Make a secret for GitHub's webhook of this project."""
        async with self._acting() as (session, actor):
            made = await github_hooks.set_up(session, actor, an_id(project_id))
        self.secret, self.secret_of = made.secret, project_id
        await self._read()

    @rx.event
    async def deafen(self, project_id: str) -> None:
        async with self._acting() as (session, actor):
            await github_hooks.remove(session, actor, an_id(project_id))
        self.secret = self.secret_of = ""
        await self._read()


def _hook(one: WebhookView) -> Hook:
    told = "All ends of runs and batches" if len(one.events) == len(EVENTS) else ", ".join(one.events)
    trouble = one.disabled_reason or ("The last messages were not taken." if one.failing_since else "")
    return Hook(str(one.id), one.url, one.description or told, one.enabled, trouble)


def _sent(one: DeliveryView) -> Sent:
    if one.status == "delivered":
        said = f"Delivered, answered {one.response_code}"
    elif one.status == "failed":
        said = f"Given up. {one.error}"
    else:
        said = f"{one.error} It is tried again." if one.error else "On its way"
    tries = f" · {one.attempts} attempts" if one.attempts > 1 else ""
    return Sent(str(one.id), one.type, one.status, said + tries, milliseconds(one.created_at))


def _source(one: github_hooks.Hooked) -> Source:
    hook = one.hook
    heard = milliseconds(hook.heard_at) if hook else 0
    return Source(str(one.project_id), one.name, hook is not None, hook.url if hook else "", heard)
