"""GitHub's webhooks in: what is signed moves the cards of its own pull request, and nothing else does."""

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select

from openlinear import db
from openlinear.models import Change, GitHubHook
from openlinear.services import execution, github_hooks, projects, tasks
from openlinear.services.errors import Forbidden, NotFound
from openlinear.services.views import Actor, ProjectView, TaskView
from openlinear.settings import get_settings
from tests.support.product import MakeActor, Workerless
from tests.support.receiver import end, started
from tests.support.teams import Crew

SECRET = "9f8e7d6c5b4a39281706f5e4d3c2b1a0" * 2
PR = "https://github.com/acme/cart/pull/7"


@pytest.fixture(autouse=True)
def secret(product: Workerless, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_WEBHOOK_SECRET", SECRET)
    get_settings.cache_clear()


@dataclass
class GitHub:
    """Sends as GitHub does. `secret` signs."""

    api: httpx.AsyncClient
    secret: str = SECRET
    minute: int = 0

    async def says(
        self,
        action: str,
        *,
        merged: bool = False,
        name: str = "acme/cart",
        number: int = 7,
        query: str = "",
        form: bool = False,
        **more: Any,
    ) -> int:
        self.minute += 1
        at = more.pop("at", f"2026-05-01T10:{self.minute:02}:00Z")
        pull = {"number": number, "merged": merged, "updated_at": at, "html_url": PR, "state": "closed"}
        content = {
            "action": action,
            "number": number,
            "pull_request": pull,
            "repository": {"full_name": name},
        }
        said = json.dumps(content)
        body = urlencode({"payload": said}) if form else said
        return await self.sends(body.encode(), query=query, **more)

    async def sends(
        self, body: bytes, *, query: str = "", signature: str | None = None, event: str = "pull_request"
    ) -> int:
        signed = "sha256=" + hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-GitHub-Event": event, "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958"}
        headers["X-Hub-Signature-256"] = signed if signature is None else signature
        answer = await self.api.post("/api/webhooks/github" + query, content=body, headers=headers)
        return answer.status_code


@pytest.fixture
def github(api: httpx.AsyncClient) -> GitHub:
    return GitHub(api)


async def proposed(actor: Actor, project: ProjectView, url: str = PR) -> TaskView:
    """A card whose run opened a pull request; somebody has moved it back since."""
    card, run_id = await started(actor, project)
    await end(run_id, pr_url=url, pr_number=int(url.rpartition("/")[2]), outcome="pull_request")
    async with db.transaction() as session:
        return await tasks.update_task(session, actor, card.id, tasks.TaskPatch(status="in_progress"))


async def standing(actor: Actor, card: TaskView) -> tuple[str, str | None]:
    async with db.transaction() as session:
        found = await tasks.task(session, actor, card.id)
    assert found.execution is not None
    return found.status, found.execution.pr_state


async def news() -> int:
    async with db.transaction() as session:
        return await session.scalar(select(func.count()).select_from(Change)) or 0


async def test_a_merged_pull_request_closes_its_card(
    github: GitHub, ada: Actor, project: ProjectView
) -> None:
    card = await proposed(ada, project)
    assert await standing(ada, card) == ("in_progress", None)
    assert await github.says("opened", name="Acme/Cart") == 204
    assert await standing(ada, card) == ("in_progress", "open")
    assert await github.says("closed") == 204
    assert await standing(ada, card) == ("in_progress", "closed")
    assert await github.says("reopened") == 204
    told = await news()
    assert await github.says("closed", merged=True) == 204
    assert await standing(ada, card) == ("done", "merged")
    assert await news() == told + 1


async def test_what_was_opened_and_merged_in_one_second_is_merged(
    github: GitHub, ada: Actor, project: ProjectView
) -> None:
    card = await proposed(ada, project)
    at = "2026-05-01T10:00:00Z"
    assert await github.says("opened", at=at) == await github.says("closed", merged=True, at=at) == 204
    assert await standing(ada, card) == ("done", "merged")


async def test_each_card_of_a_batch_s_pull_request_is_closed(
    github: GitHub, ada: Actor, project: ProjectView
) -> None:
    cards = [await proposed(ada, project) for _ in range(2)]
    other = await proposed(ada, project, "https://github.com/acme/cart/pull/8")
    assert await github.says("closed", merged=True) == 204
    assert [await standing(ada, card) for card in cards] == [("done", "merged")] * 2
    assert await standing(ada, other) == ("in_progress", None)


async def test_only_the_very_repository_counts(github: GitHub, ada: Actor, project: ProjectView) -> None:
    """The same number elsewhere, a fork's, and a name that begins or ends alike."""
    card = await proposed(ada, project)
    for name in (
        "mallory/cart",
        "acme/cart2",
        "acme/car",
        "evil.example/acme/cart",
        "acme/cart/pull/7#",
        "_cme/cart",
    ):
        assert await github.says("closed", merged=True, name=name) == 204
    assert await github.says("closed", merged=True, number=70) == 204
    assert await github.says("synchronize", merged=True) == 204
    assert await github.says("closed", merged=True, event="pull_request_review") == 204
    assert await standing(ada, card) == ("in_progress", None)


async def test_what_is_not_signed_changes_nothing(
    github: GitHub, ada: Actor, project: ProjectView, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = await proposed(ada, project)
    for signature in ("", "sha256=", "sha1=" + "0" * 40, "sha256=" + "0" * 64):
        assert await github.says("closed", merged=True, signature=signature) == 401
    for query in ("", f"?project={project.id}", f"?project={UUID(int=1)}"):
        github.secret = "wrong"
        assert await github.says("closed", merged=True, query=query) == 401
        github.secret = ""
        assert await github.says("closed", merged=True, query=query) == 401
    monkeypatch.setenv("GITHUB_WEBHOOK_SECRET", "")
    get_settings.cache_clear()
    for secret in ("", SECRET):
        github.secret = secret
        assert await github.says("closed", merged=True) == 401
    assert await standing(ada, card) == ("in_progress", None)


async def test_a_form_says_the_same_as_json(github: GitHub, ada: Actor, project: ProjectView) -> None:
    """GitHub's first choice of content type; it signs the form as it is sent."""
    card = await proposed(ada, project)
    assert await github.says("closed", merged=True, form=True) == 204
    assert await standing(ada, card) == ("done", "merged")


async def test_what_cannot_be_read_is_refused_and_not_counted_as_heard(
    github: GitHub, ada: Actor, project: ProjectView
) -> None:
    async with db.transaction() as session:
        github.secret = (await github_hooks.set_up(session, ada, project.id)).secret
    for body in (b"", b"\xff", b"[" * 200_000, b"payload=", b"payload=%7B", b"payload=&a=1", b"a=%7B%7D"):
        assert await github.sends(body, query=f"?project={project.id}") == 422, body
    async with db.transaction() as session:
        assert (await github_hooks.get_hook(session, ada, project.id)).heard_at is None


async def test_strange_bodies_are_taken_and_change_nothing(github: GitHub) -> None:
    for body in (b"{}", b"[]", b'{"action": "closed", "pull_request": 1}', b"payload=%7B%7D"):
        assert await github.sends(body) == 204
    assert await github.says("closed", merged=True, at="yesterday") == 204
    assert await github.says("closed", merged=True, at="2026-05-01T10:00:00") == 204
    assert await github.says("closed", merged=True, number=2**70) == 204
    assert await github.says("closed", merged=True, name="a\0b") == 204


async def test_a_replay_and_what_comes_late_change_nothing(
    github: GitHub, ada: Actor, project: ProjectView
) -> None:
    card = await proposed(ada, project)
    github.minute = 10
    assert await github.says("closed", merged=True) == 204
    async with db.transaction() as session:
        await tasks.update_task(session, ada, card.id, tasks.TaskPatch(status="todo"))
    github.minute = 10
    told = await news()
    assert await github.says("closed", merged=True) == 204  # the same, byte for byte
    github.minute = 5
    assert await github.says("closed") == 204  # what had been before
    assert await standing(ada, card) == ("todo", "merged")
    assert await news() == told


async def test_a_project_s_own_secret_speaks_for_that_project_alone(
    github: GitHub, ada: Actor, project: ProjectView, make_actor: MakeActor
) -> None:
    """Whoever may change one project may not move the cards of another of the same repository."""
    bo = await make_actor("Bo")
    theirs = await projects.create_project(bo, projects.ProjectInput("Cart", "https://github.com/acme/cart"))
    own, foreign = await proposed(ada, project), await proposed(bo, theirs)
    async with db.transaction() as session:
        made = await github_hooks.set_up(session, ada, project.id)
        kept = await session.get_one(GitHubHook, project.id)
        assert made.secret not in kept.secret and made.secret not in repr(made)
    assert made.hook.url == f"{get_settings().public_url}/api/webhooks/github?project={project.id}"
    query = "?" + made.hook.url.partition("?")[2]
    github.secret = made.secret
    assert await github.says("closed", merged=True) == 401
    assert await github.says("closed", merged=True, query=f"?project={theirs.id}") == 401
    assert await github.says("closed", merged=True, query=query) == 204
    assert await standing(ada, own) == ("done", "merged")
    assert await standing(bo, foreign) == ("in_progress", None)
    async with db.transaction() as session:
        assert (await github_hooks.get_hook(session, ada, project.id)).heard_at is not None
        again = await github_hooks.set_up(session, ada, project.id)
    assert await github.says("reopened", query=query) == 401
    github.secret = again.secret
    assert await github.says("reopened", query=query) == 204
    async with db.transaction() as session:
        await github_hooks.remove(session, ada, project.id)
    assert await github.says("closed", query=query) == 401


async def test_who_may_set_it_up(crew: Crew) -> None:
    for act in (github_hooks.set_up, github_hooks.get_hook, github_hooks.remove):
        for who, refusal in ((crew.member, Forbidden), (crew.stranger, NotFound)):
            with pytest.raises(refusal):
                async with db.transaction() as session:
                    await act(session, who, crew.project.id)


async def test_a_later_run_s_card_stays_where_it_is(github: GitHub, ada: Actor, project: ProjectView) -> None:
    """What an earlier run proposed says nothing of the work that goes on."""
    card = await proposed(ada, project)
    async with db.transaction() as session:
        await execution.execute(session, ada, card.id)
    assert await github.says("closed", merged=True) == 204
    assert await standing(ada, card) == ("in_progress", None)
