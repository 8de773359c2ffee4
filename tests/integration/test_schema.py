"""The OpenAPI document is true: schemathesis calls every route by it, and checks what comes back."""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

import jwt
import pytest

from engine.models import Run, Worker, now
from openlinear import db
from openlinear.adapters import product as engine_side
from openlinear.services import (
    accounts,
    batches,
    execution,
    github_hooks,
    inbox,
    invitations,
    labels,
    preferences,
    projects,
    providers,
    tasks,
    teams,
    webhooks,
)
from openlinear.services.views import Actor
from openlinear.settings import get_settings
from tests.support.product import PASSWORD, Workerless

CONFIG = Path(__file__).parent / "schemathesis.toml"


@pytest.fixture(autouse=True)
def unhurried(product: Workerless, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is limited has tests of its own."""
    for name in ("REQUESTS_PER_MINUTE", "REQUESTS_PER_MINUTE_PER_ADDRESS"):
        monkeypatch.setenv(name, "1000000")
    get_settings.cache_clear()


async def belongings(ada: Actor, name: str) -> dict[str, str]:
    """Something of each kind that is hers, by the path parameter that names it."""
    wanted = projects.ProjectInput(name=name, clone_url=f"https://example.com/acme/{name}.git")
    project = await projects.create_project(ada, wanted)
    async with db.transaction() as session:
        cards = [
            await tasks.create_task(session, ada, tasks.TaskInput(project.id, f"{name} {number}"))
            for number in range(3)
        ]
        run = await execution.execute(session, ada, cards[0].id)
        row = await session.get_one(Run, run)
        row.status, row.ended_at = "done", now()
        await session.flush()
        await engine_side().ended(session, run)
        batch = await batches.create(session, ada, batches.BatchInput([cards[1].id], "queue"))
        team = await teams.create_team(session, ada, name)
        label = await labels.create_label(session, ada, name, "red")
        invitation = (await invitations.invite(session, ada, team.id)).invitation
        item = (await inbox.items(session, ada)).items[0]
        hook = (await webhooks.create_webhook(session, ada, "https://example.com/in")).webhook
        told = await webhooks.send_test(session, ada, hook.id)
        await github_hooks.set_up(session, ada, project.id)
    return {
        "project_id": str(project.id),
        "task_id": str(cards[2].id),
        "run_id": str(run),
        "batch_id": str(batch.id),
        "team_id": str(team.id),
        "user_id": str(ada.id),
        "label_id": str(label.id),
        "invitation_id": str(invitation.id),
        "item_id": str(item.id),
        "login_id": login_of(await token_of(ada)),
        "webhook_id": str(hook.id),
        "delivery_id": str(told.id),
        "agent": "opencode",
    }


async def token_of(actor: Actor) -> str:
    async with db.transaction() as session:
        return (await accounts.login(session, actor.email, PASSWORD, address="test"))[0]


def login_of(token: str) -> str:
    return str(jwt.decode(token, options={"verify_signature": False})["jti"])


def table(values: dict[str, str]) -> str:
    return "{ " + ", ".join(f'"path.{name}" = "{value}"' for name, value in values.items()) + " }"


async def configured(ada: Actor) -> str:
    """The configuration with logins and ids that are there; what is deleted is of a second kind."""
    async with db.transaction() as session:
        await providers.connect(session, ada, "anthropic", "sk-test-1")
        await preferences.update_settings(session, ada, {"parallel_limit": 20})
        session.add(Worker(id="w1", name="main", version="1", sandbox="docker", seen_at=now() + timedelta(1)))
    filled = {
        "KEPT": table(await belongings(ada, "kept")),
        "DELETED": table(await belongings(ada, "deleted")),
        "LOGIN": await token_of(ada),
        "LOGOUT": await token_of(ada),
    }
    text = CONFIG.read_text()
    for name, value in filled.items():
        text = text.replace(f'"${name}"' if value.startswith("{") else f"${name}", value)
    return text


async def test_every_route_does_as_the_document_says(served: str, ada: Actor, tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(await configured(ada))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"),
        *(f"{served}/api/openapi.json", "--no-color"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert "401 Unauthorized (" not in said.decode(), "a call of its own ended the login"
