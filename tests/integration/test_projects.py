"""Projects: what is tried before anybody sees one, and what is kept of their remotes."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import func, select

from engine.client import DEMO_CARDS, DEMO_MODEL, RemoteFound
from engine.errors import RunError
from openlinear import db
from openlinear.adapters import product as engine_side
from openlinear.models import Change, Project
from openlinear.services import demo, execution, projects, providers, tasks
from openlinear.services.errors import Conflict, Invalid, NotFound, Unavailable
from openlinear.services.projects import ProjectInput, ProjectPatch
from openlinear.services.views import Actor, ProjectView
from openlinear.settings import get_settings
from tests.support.product import MakeActor, Workerless

URL = "https://example.com/acme/cart.git"


async def rows() -> int:
    async with db.transaction() as session:
        return await session.scalar(select(func.count()).select_from(Project)) or 0


async def test_a_project_takes_the_branch_its_remote_names(product: Workerless, ada: Actor) -> None:
    product.remote = RemoteFound("trunk", ("trunk",))
    made = await projects.create_project(ada, ProjectInput(" Cart  service ", URL, "Money.\nAnd more."))
    assert (made.name, made.key, made.default_branch) == ("Cart service", "CART", "trunk")
    assert (made.demo, made.has_credential) == (False, False)
    async with db.transaction() as session:
        assert await projects.list_projects(session, ada) == [made]
        kinds = await session.scalars(select(Change.kind).where(Change.project_id == made.id))
        assert list(kinds) == ["project:created"]


async def test_keys_are_unique_for_their_owner(
    product: Workerless, ada: Actor, make_actor: MakeActor
) -> None:
    names = ["Cart", "Cart service", "日本", "cart-2"]
    keys = [(await projects.create_project(ada, ProjectInput(name, URL))).key for name in names]
    assert keys == ["CART", "CART2", "PROJEC", "CART3"]
    other = await projects.create_project(await make_actor("Bo"), ProjectInput("Cart", URL))
    assert other.key == "CART"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc",
        "ext::sh -c id",
        "--upload-pack=touch /tmp/x",
        "https://127.0.0.1/x.git",
        "https://localhost/x.git",
        "demo:00000000-0000-0000-0000-000000000000",
        "DEMO:x",
        "ssh://git@example.com/x.git",
        "https://user:secret@example.com/x.git",
        "",
    ],
)
async def test_clone_urls_that_may_not_be_are_refused_by_their_looks(
    product: Workerless, ada: Actor, url: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await projects.create_project(ada, ProjectInput("Cart", url))
    assert set(refused.value.fields) == {"cloneUrl"}
    assert "secret" not in str(refused.value)
    assert product.asked == []
    assert await rows() == 0


async def test_what_fails_leaves_nothing_behind(product: Workerless, ada: Actor) -> None:
    product.remote = RemoteFound(None, (), "There is no such repository.")
    with pytest.raises(Invalid, match="no such repository") as refused:
        await projects.create_project(ada, ProjectInput("Cart", URL))
    assert set(refused.value.fields) == {"cloneUrl"}
    product.remote = RemoteFound("main", ("main",))
    with pytest.raises(Invalid) as refused:
        await projects.create_project(ada, ProjectInput("Cart", URL, default_branch="nope"))
    assert set(refused.value.fields) == {"defaultBranch"}
    product.remote = None
    with pytest.raises(Unavailable):
        await projects.create_project(ada, ProjectInput("Cart", URL))
    assert len(product.asked) == 3
    assert await rows() == 0


async def test_a_project_is_hidden_while_its_remote_is_read(product: Workerless, ada: Actor) -> None:
    seen: list[object] = []

    async def while_asked(project_id: UUID, user_id: UUID) -> RemoteFound:
        async with db.transaction() as session:
            seen.extend(await projects.list_projects(session, ada))
            with pytest.raises(NotFound):
                await projects.get_project(session, ada, project_id)
        access = await engine_side().remote(project_id, user_id)
        seen.append((access.url, access.credential and access.credential.password))
        return RemoteFound("main", ("main",))

    product.check_remote = while_asked  # type: ignore[method-assign]
    wanted = ProjectInput("Cart", URL, remote_username="bot", remote_password="s3cret-token")
    made = await projects.create_project(ada, wanted)
    assert seen == [(URL, "s3cret-token")]
    assert made.has_credential
    assert "s3cret-token" not in repr(wanted)


async def test_the_credential_is_sealed_and_comes_out_for_its_owner_alone(
    product: Workerless, ada: Actor, make_actor: MakeActor
) -> None:
    wanted = ProjectInput("Cart", URL, remote_username="bot", remote_password="s3cret-token")
    made = await projects.create_project(ada, wanted)
    async with db.transaction() as session:
        sealed = (await session.get_one(Project, made.id)).remote_secret or ""
    assert "s3cret" not in sealed
    access = await engine_side().remote(made.id, ada.id)
    assert access.credential is not None
    assert (access.credential.username, access.credential.password) == ("bot", "s3cret-token")
    with pytest.raises(RunError):
        await engine_side().remote(made.id, (await make_actor("Bo")).id)


async def test_another_secret_key_asks_for_the_credential_anew(
    product: Workerless, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await projects.create_project(ada, ProjectInput("Cart", URL, remote_password="token"))
    old = get_settings().openlinear_secret_key.get_secret_value()
    monkeypatch.setenv("OPENLINEAR_SECRET_KEY", "another-secret-key-of-a-good-length")
    get_settings.cache_clear()
    with pytest.raises(RunError, match="Enter it again"):
        await engine_side().remote(made.id, ada.id)
    monkeypatch.setenv("OPENLINEAR_SECRET_KEY", f"another-secret-key-of-a-good-length,{old}")
    get_settings.cache_clear()
    assert (await engine_side().remote(made.id, ada.id)).credential is not None


async def test_another_host_never_gets_the_stored_credential(product: Workerless, ada: Actor) -> None:
    made = await projects.create_project(ada, ProjectInput("Cart", URL, remote_password="token"))
    same_host = ProjectPatch(clone_url="https://example.com/acme/other.git")
    assert (await projects.update_project(ada, made.id, same_host)).has_credential
    moved = ProjectPatch(clone_url="https://example.org/acme/cart.git")
    changed = await projects.update_project(ada, made.id, moved)
    assert not changed.has_credential
    assert changed.clone_url == moved.clone_url
    assert len(product.asked) == 3
    assert await rows() == 1


async def test_a_change_that_the_remote_refuses_changes_nothing(
    product: Workerless, ada: Actor, project: ProjectView
) -> None:
    product.remote = RemoteFound(None, (), "It needs a login.")
    with pytest.raises(Invalid):
        await projects.update_project(ada, project.id, ProjectPatch(name="New", clone_url=URL + "x"))
    async with db.transaction() as session:
        assert await projects.get_project(session, ada, project.id) == project
    renamed = await projects.update_project(ada, project.id, ProjectPatch(name="New"))
    assert (renamed.name, renamed.key) == ("New", project.key)


async def test_a_stranger_finds_no_project(ada: Actor, project: ProjectView, make_actor: MakeActor) -> None:
    stranger = await make_actor("Bo")
    with pytest.raises(NotFound):
        await projects.update_project(stranger, project.id, ProjectPatch(name="Mine"))
    with pytest.raises(NotFound):
        await projects.update_project(stranger, project.id, ProjectPatch(clone_url=URL))
    async with db.transaction() as session:
        assert await projects.list_projects(session, stranger) == []
        with pytest.raises(NotFound):
            await projects.delete_project(session, stranger, project.id)


async def test_the_demo_is_made_once_however_often_it_is_asked_for(product: Workerless, ada: Actor) -> None:
    async with db.transaction() as session:
        assert await demo.demo_offered(session, ada)

    async def make() -> UUID:
        async with db.transaction() as session:
            return (await demo.create_demo(session, ada))[0].id

    made = await asyncio.gather(*(make() for _ in range(4)))
    assert len(set(made)) == 1
    async with db.transaction() as session:
        project, cards = await demo.create_demo(session, ada)
        assert not await demo.demo_offered(session, ada)
        assert project.demo
        assert project.clone_url == f"demo:{project.id}"
        assert [card.title for card in cards] == [title for title, _ in DEMO_CARDS]
        await execution.execute(session, ada, cards[0].id)
        view = await product.latest(session, [cards[0].id])
        assert view[cards[0].id].model == DEMO_MODEL
    with pytest.raises(Conflict):
        await projects.update_project(ada, made[0], ProjectPatch(clone_url=URL))


async def test_demo_cards_run_on_a_real_model_once_there_is_one(product: Workerless, ada: Actor) -> None:
    async with db.transaction() as session:
        _, cards = await demo.create_demo(session, ada)
        assert await providers.model_choices(session, ada, demo=True) == [DEMO_MODEL]
        await providers.connect(session, ada, "openai", "a-key", models=["gpt-5-mini"])
        assert await providers.model_choices(session, ada, demo=True) == ["openai/gpt-5-mini", DEMO_MODEL]
        assert await providers.model_choices(session, ada) == ["openai/gpt-5-mini"]
        await tasks.update_task(session, ada, cards[1].id, {"model": DEMO_MODEL})
        for card in cards[:2]:
            await execution.execute(session, ada, card.id)
        runs = await product.latest(session, [card.id for card in cards])
    assert [runs[card.id].model for card in cards[:2]] == ["openai/gpt-5-mini", DEMO_MODEL]


async def test_a_project_whose_task_runs_is_not_pulled_away(product: Workerless, ada: Actor) -> None:
    async with db.transaction() as session:
        project, cards = await demo.create_demo(session, ada)
        await execution.execute(session, ada, cards[0].id)
    async with db.transaction() as session:
        with pytest.raises(Conflict, match="running"):
            await projects.delete_project(session, ada, project.id)
