"""Remotes that cannot be used: refused when the project is made, or the run's end when they go away later."""

import asyncio
import shutil
from pathlib import Path

from tests.support.aftermath import assert_failed
from tests.support.gitserver import TOKEN, Repo, run_git
from tests.support.modelserver import Turn
from tests.support.stack import Json, Person


async def refused(person: Person, url: str, password: str | None = TOKEN, **fields: str) -> Json:
    """The named fields and their reasons, of a project that cannot be made."""
    body = {"name": "Refused", "cloneUrl": url, "remotePassword": password, **fields}
    answer = await person.http.post("/api/projects", json=body)
    assert answer.status_code == 422, answer.text
    assert TOKEN not in answer.text
    said: Json = answer.json()
    return {error["field"]: error["detail"] for error in said["errors"]}


async def test_a_clone_url_that_cannot_be_used_is_refused_with_its_reason(
    person: Person, tmp_path: Path
) -> None:
    git, marker = person.stack.git, tmp_path / "it-ran"
    private = git.create("bad/private", {"a": "1"})
    hanging = git.create("bad/hanging", {"a": "1"})
    hanging.fault = "hang"
    cases = [
        (f"{git.url}/bad/absent.git", TOKEN, "no such repository"),
        (private.url, None, "asks for a login"),
        (private.url, "wrong-token", "did not accept the token"),
        (git.create("bad/empty").url, TOKEN, "The repository is empty: push a first commit"),
        (hanging.url, TOKEN, "did not answer within 20 seconds"),
        ("https://user:secret@example.com/a/b.git", None, "holds a user name or password"),
        (f"file://{private.path}", None, "file: remotes are not accepted"),
        (str(private.path), None, "A path on this machine is not accepted"),
        (f"ext::sh -c 'touch {marker}'", None, "characters that do not belong"),
        (f"ext::touch${{IFS}}{marker}", None, "ext: remotes are not accepted"),
        ("--upload-pack=/bin/true", None, "begins with a dash"),
        ("git@example.com:a/b.git", None, "Use the https URL: https://example.com/a/b.git"),
        ("demo:00000000-0000-4000-8000-000000000000", None, "demo: remotes are not accepted"),
    ]
    before = len((await person.ask("GET", "/projects?limit=200"))["items"])
    answers = await asyncio.gather(*(refused(person, url, password) for url, password, _ in cases))
    for (url, _, words), errors in zip(cases, answers, strict=True):
        assert words in errors["cloneUrl"], url
    assert not marker.exists()
    branch = await refused(person, private.url, defaultBranch="absent")
    assert branch == {"defaultBranch": 'The repository has no branch "absent".'}
    assert len((await person.ask("GET", "/projects?limit=200"))["items"]) == before


async def test_a_remote_that_changes_before_the_run_ends_it_with_the_reason(crowd: Person) -> None:
    git = crowd.stack.git
    script = crowd.stack.model.script("never", Turn("This must not be asked."))

    async def prepared(name: str, branch: str = "main") -> tuple[Repo, Json]:
        repo = git.create(f"gone/{name}", {"a.txt": "1\n"})
        repo.commit({"b.txt": "2\n"}, "dev")
        project = await crowd.project(repo, defaultBranch=branch)
        return repo, await crowd.task(project, f"With a remote that is {name}", description=script)

    made = [await prepared(name) for name in ("removed", "revoked", "broken", "emptied")]
    made.append(await prepared("without-dev", "dev"))
    removed, revoked, broken, emptied, without_dev = (repo for repo, _ in made)
    del git.repos["gone/removed"]
    shutil.rmtree(removed.path)
    revoked.fault, broken.fault = 403, 500
    for branch in ("main", "dev"):
        run_git("update-ref", "-d", f"refs/heads/{branch}", cwd=emptied.path)
    run_git("update-ref", "-d", "refs/heads/dev", cwd=without_dev.path)

    tasks = [task for _, task in made]
    await asyncio.gather(*(crowd.execute(task) for task in tasks))
    expected = [
        ("no such repository, or hides it", "remote"),
        ("Give it read and write access", "authentication"),
        ("has a problem of its own", "overload"),
        ("The repository is empty: push a first commit", "remote"),
        ("has no branch named dev. It has main: choose one in the project.", "remote"),
    ]
    await asyncio.gather(
        *(
            assert_failed(crowd, task, words, kind=kind)
            for task, (words, kind) in zip(tasks, expected, strict=True)
        )
    )
    assert "This must not be asked." not in str(crowd.stack.model.requests)
