"""Who sees which kept work and whose disk use, through the services, the API and the command line."""

import io
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from rich.console import Console

from engine.models import Finding, KeptWork, Run, StorageReport, now
from engine.storage import BUNDLE, FILES
from openlinear import db
from openlinear.disk import show
from openlinear.errors import StartError
from openlinear.say import Say
from openlinear.services import accounts, execution, storage, tasks
from openlinear.services.errors import Conflict, Forbidden, NotFound, Unavailable
from openlinear.services.views import Actor, ProjectView, TaskView
from openlinear.settings import get_settings
from tests.support.product import PASSWORD, MakeActor, Workerless

Keep = Callable[..., Awaitable[UUID]]


@pytest.fixture
def home(product: Workerless, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENLINEAR_HOME", str(tmp_path))
    get_settings.cache_clear()
    return tmp_path


@pytest.fixture
async def task(ada: Actor, project: ProjectView) -> TaskView:
    async with db.transaction() as session:
        wanted = tasks.TaskInput(project_id=project.id, title="Round once", model="openai/gpt-5")
        return await tasks.create_task(session, ada, wanted)


@pytest.fixture
def keep(home: Path, ada: Actor, task: TaskView) -> Keep:
    async def make(*, files: bool = True, **columns: object) -> UUID:
        """Kept work of an ended run of Ada's."""
        run_id = uuid4()
        place = home / "kept" / str(run_id)
        place.mkdir(parents=True)
        (place / BUNDLE).write_bytes(b"a bundle")
        if files:
            (place / FILES).write_bytes(b"an archive")
        values = {
            "task_id": task.id,
            "project_id": task.project_id,
            "user_id": ada.id,
            "title": task.title,
            "base_sha": "1" * 40,
            "expires_at": now() + timedelta(days=30),
            "bundle_bytes": 8,
            "files_bytes": 10 * files,
            "left_out": [{"name": "files/node_modules", "bytes": 612_000_000, "why": "over the limit"}],
            **columns,
        }
        async with db.transaction() as session:
            session.add(KeptWork(run_id=run_id, **values))
        return run_id

    return make


async def token_of(actor: Actor) -> dict[str, str]:
    async with db.transaction() as session:
        token, _ = await accounts.login(session, actor.email, PASSWORD, address="test")
    return {"Authorization": f"Bearer {token}"}


async def connect(actor: Actor) -> None:
    from openlinear.services import providers

    async with db.transaction() as session:
        await providers.connect(session, actor, "openai", "sk-test")


async def test_only_its_owner_sees_kept_work(keep: Keep, ada: Actor, make_actor: MakeActor) -> None:
    run_id, eve = await keep(), await make_actor("Eve")
    async with db.transaction() as session:
        [work] = await storage.kept(session, ada)
        assert await storage.kept(session, eve) == []
        for refused in (storage.kept_of, storage.download, storage.restore):
            with pytest.raises(NotFound):
                await refused(session, eve, run_id)
    assert work.run_id == run_id
    assert storage.left_out(work) == "Not kept: node_modules (612 MB, over the limit)"


async def test_it_is_downloaded_by_its_owner(
    keep: Keep, ada: Actor, make_actor: MakeActor, api: httpx.AsyncClient
) -> None:
    run_id, without = await keep(), await keep(files=False)
    mine, theirs = await token_of(ada), await token_of(await make_actor("Eve"))
    answer = await api.get(f"/api/runs/{run_id}/kept", headers=mine)
    assert (answer.status_code, answer.content) == (200, b"a bundle")
    assert answer.headers["content-disposition"] == f'attachment; filename="{run_id}.bundle"'
    assert (await api.get(f"/api/runs/{run_id}/kept/files", headers=mine)).content == b"an archive"
    assert (await api.get(f"/api/runs/{without}/kept/files", headers=mine)).status_code == 404
    for path in ("kept", "kept/files"):
        assert (await api.get(f"/api/runs/{run_id}/{path}", headers=theirs)).status_code == 404
        assert (await api.get(f"/api/runs/{run_id}/{path}")).status_code == 401
    items = (await api.get("/api/kept", headers=mine)).json()["items"]
    assert {one["runId"] for one in items} == {str(run_id), str(without)}
    assert (await api.get("/api/kept", headers=theirs)).json()["items"] == []


async def test_restoring_starts_a_run_that_says_so(keep: Keep, ada: Actor, task: TaskView) -> None:
    run_id = await keep()
    await connect(ada)
    async with db.transaction() as session:
        started = await storage.restore(session, ada, run_id)
    async with db.transaction() as session:
        run = await session.get_one(Run, started)
        assert (run.restores, run.task_id) == (run_id, task.id)
        assert "unfinished work" in run.prompt
        with pytest.raises(Conflict, match="running already"):
            await storage.restore(session, ada, run_id)


async def test_kept_work_freshens_the_card(keep: Keep, ada: Actor, task: TaskView) -> None:
    await connect(ada)
    async with db.transaction() as session:
        run_id = await execution.execute(session, ada, task.id)
    async with db.transaction() as session:
        before = (await tasks.task(session, ada, task.id)).version
        await execution.kept(session, run_id)
    async with db.transaction() as session:
        after = await tasks.task(session, ada, task.id)
    assert after.version > before
    assert after.status == "in_progress"


async def measured(project: ProjectView, ada: Actor) -> None:
    parts = [
        {"kind": "repository", "subject": str(project.id), "bytes": 5_000_000, "user_id": None},
        {"kind": "repository", "subject": "unknown", "bytes": 1, "user_id": None},
        {"kind": "sandbox", "subject": str(ada.id), "bytes": 7_000_000_000, "user_id": None},
        {"kind": "kept", "subject": str(uuid4()), "bytes": 1200, "user_id": str(ada.id)},
        {"kind": "database", "subject": "", "bytes": 9_000_000, "user_id": None},
    ]
    value = {"parts": parts, "free": 40_000_000_000, "total": 100_000_000_000}
    async with db.transaction() as session:
        session.add(StorageReport(name="disk", value=value))
        session.add(Finding(kind="lock", subject="x", detail="A lock was removed.", mended=True))
        session.add(Finding(kind="kept", subject="y", detail="It is not there.", mended=False))


async def test_the_first_account_sees_what_takes_space(
    ada: Actor, make_actor: MakeActor, project: ProjectView, api: httpx.AsyncClient
) -> None:
    eve = await make_actor("Eve")
    async with db.transaction() as session:
        assert (await storage.disk(session, ada)).made_at is None
    await measured(project, ada)
    async with db.transaction() as session:
        disk = await storage.disk(session, ada)
        assert [(use.kind, use.name, storage.size(use.bytes)) for use in disk.uses] == [
            ("sandbox", "Ada Lovelace", "7.0 GB"),
            ("database", "", "9.0 MB"),
            ("repository", "Cart service", "5.0 MB"),
            ("kept", "Ada Lovelace", "1.2 kB"),
            ("repository", "unknown", "1 B"),
        ]
        assert [one.mended for one in disk.findings] == [False, True]
        with pytest.raises(Forbidden):
            await storage.disk(session, eve)
    for act in (storage.measure, storage.clean):
        with pytest.raises(Forbidden):
            await act(eve)
        with pytest.raises(Unavailable):  # no worker runs here
            await act(ada)
    assert (await api.get("/api/storage", headers=await token_of(eve))).status_code == 403
    assert (await api.get("/api/storage", headers=await token_of(ada))).json()["free"] == 40_000_000_000


async def test_the_command_line_says_it_where_there_is_no_database(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {empty_database: "has no such tables yet", "postgresql://127.0.0.1:1/none": "does not answer"}
    for url, words in said.items():
        monkeypatch.setenv("DATABASE_URL", url)
        get_settings.cache_clear()
        with pytest.raises(StartError, match=words):
            await show(Say(Console(file=io.StringIO())), clean=False)
    get_settings.cache_clear()


async def test_the_command_line_shows_what_was_measured_where_no_worker_runs(
    ada: Actor, project: ProjectView, home: Path
) -> None:
    printed = io.StringIO()
    say = Say(Console(file=printed, width=120))
    with pytest.raises(StartError, match="Nothing was measured yet"):
        await show(say, clean=False)
    await measured(project, ada)
    with pytest.raises(StartError, match="No engine worker answered"):
        await show(say, clean=True)
    await show(say, clean=False)
    told = printed.getvalue()
    for words in ("Cart service", "7.0 GB", "40 GB of 100 GB are free", "for 30 days", "look at it: kept y"):
        assert words in told
