"""Work that did not reach the remote, through the whole product: kept, downloaded, restored."""

import asyncio
import subprocess
import sys
import tarfile
from pathlib import Path
from uuid import uuid4

from tests.integration.line.test_control import cancel, doing, task_with
from tests.support.aftermath import assert_done, assert_failed, assert_freed, inside
from tests.support.gitserver import run_git
from tests.support.modelserver import Bash, Turn, Write
from tests.support.stack import Json, Person

FILES = {"app.py": "print('hello')\n", ".gitignore": "*.env\n"}
COMMITS = "echo 1 > one.txt; git add -A; git commit -qm 'By the agent'; echo TOKEN=1 > my.env; sleep 7305"


async def kept(person: Person, task: Json) -> Json:
    """What is kept of the task's last run, once it is."""
    run_id = (await person.ask("GET", f"/tasks/{task['id']}"))["execution"]["runId"]
    async with asyncio.timeout(30):
        while True:
            for one in (await person.ask("GET", "/kept"))["items"]:
                if one["runId"] == run_id:
                    return dict(one)
            await asyncio.sleep(0.1)


async def test_a_cancelled_runs_work_is_kept_and_restored(person: Person, tmp_path: Path) -> None:
    repo = person.stack.git.create("kept/cancelled", FILES)
    project = await person.project(repo)
    works = Turn("", [Write("partial.txt", "half of the work\n")]), Turn("", [Bash(COMMITS)])
    task = await task_with(person, project, "kept-cancelled", *works, Turn("Never."))
    await person.execute(task)
    await person.until(task, doing("sleep 7305"))
    await asyncio.sleep(1)  # the shell is at its sleep, not only about to begin
    await cancel(person, task)
    work = await kept(person, task)
    assert work["bundleBytes"] > 0
    assert work["filesBytes"] > 0
    assert set(repo.branches()) == {"main"}

    answer = await person.http.get(f"/api/runs/{work['runId']}/kept")
    assert answer.headers["content-disposition"].endswith('.bundle"')
    (tmp_path / "work.bundle").write_bytes(answer.content)
    run_git("clone", "-q", str(repo.path), "clone", cwd=tmp_path)
    run_git("fetch", "-q", "../work.bundle", "+refs/*:refs/kept/*", cwd=tmp_path / "clone")
    ref = f"refs/kept/openlinear/runs/{work['runId']}"
    subjects = run_git("log", "--format=%s", f"main..{ref}", cwd=tmp_path / "clone").decode()
    assert "By the agent" in subjects
    answer = await person.http.get(f"/api/runs/{work['runId']}/kept/files")
    (tmp_path / "files.tar.gz").write_bytes(answer.content)
    with tarfile.open(tmp_path / "files.tar.gz") as tar:
        assert "files/my.env" in tar.getnames()

    again = Turn("", [Bash("cat my.env one.txt partial.txt > all.txt")])
    script = person.stack.model.script("kept-restored", again, Turn("Done."))
    await person.ask("PATCH", f"/tasks/{task['id']}", body={"description": script})
    await person.ask("POST", f"/runs/{work['runId']}/kept/restore", expect=202)
    done = await assert_done(person, task)
    branch = done["branchName"]
    assert repo.files(branch) == [".gitignore", "all.txt", "app.py", "one.txt", "partial.txt"]
    assert repo.read(branch, "all.txt") == b"TOKEN=1\n1\nhalf of the work\n"
    [once_more] = [
        one for one in (await person.ask("GET", "/kept"))["items"] if one["runId"] == work["runId"]
    ]
    assert once_more["restoredAt"] is not None


async def test_a_failed_runs_work_is_kept_and_a_good_ones_is_not(person: Person) -> None:
    repo = person.stack.git.create("kept/failed", FILES)
    project = await person.project(repo)
    write = Turn("", [Write("a.txt", "a\n"), Bash("echo b > b.env")])
    good = await task_with(person, project, "kept-good", write, Turn("Done."))
    await person.execute(good)
    done = await assert_done(person, good)
    repo.push_fault = 403
    bad = await task_with(person, project, "kept-bad", write, Turn("Done."))
    await person.execute(bad)
    failed = await assert_failed(person, bad, kind="authentication")
    await assert_freed(person, failed)
    work = await kept(person, bad)
    assert work["bundleBytes"] > 0
    runs = {one["runId"] for one in (await person.ask("GET", "/kept"))["items"]}
    assert done["execution"]["runId"] not in runs


def disk(person: Person, *options: str) -> str:
    """What the command line prints about this installation."""
    command = [sys.executable, "-m", "openlinear.cli", "disk", *options]
    done = subprocess.run(
        command, env=person.stack.environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_the_janitor_clears_up_beside_a_live_run(person: Person) -> None:
    project = await person.project(person.stack.git.create("kept/janitor", FILES))
    script = Turn("", [Write("mine.txt", "mine\n")]), Turn("", [Bash("sleep 12; echo more > more.txt")])
    live = await task_with(person, project, "kept-live", *script, Turn("Done."))
    await person.execute(live)
    await person.until(live, doing("sleep 12"))
    repos, unknown = person.stack.home / "repos", str(uuid4())
    left = [repos / "incoming" / unknown, repos / "mirrors" / f"{unknown}.git"]
    for path in left:
        path.mkdir(parents=True)
    await inside(person, f"mkdir -p repos/{unknown} && echo work > repos/{unknown}/work.txt")

    told = await asyncio.to_thread(disk, person, "--clean")
    assert f"mended: pack {unknown}" in told
    assert f"mended: project {unknown}" in told
    assert f"look at it: workspace {unknown}" in told
    assert "Ada Lovelace" in told
    assert not any(path.exists() for path in left)
    assert await inside(person, f"cat repos/{unknown}/work.txt") == "work\n"
    await inside(person, f"rm -r repos/{unknown}")
    done = await assert_done(person, live)
    assert person.stack.git.repos["kept/janitor"].files(done["branchName"]) == [
        ".gitignore",
        "app.py",
        "mine.txt",
        "more.txt",
    ]
