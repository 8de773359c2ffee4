"""What a remote may answer, and what a person is told of it."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from engine.errors import RunError
from engine.git import transport
from engine.git.command import git
from engine.git.credentials import lend
from engine.git.demo import demo_home, ensure_demo_repo
from engine.git.mirror import Mirror
from engine.git.publish import push
from engine.git.remote import Remote, parse
from engine.git.transport import Found, probe, remote_tip
from engine.ports import Credential
from engine.settings import EngineSettings
from tests.support.gitline import BRANCH, CREDENTIAL, Line
from tests.support.gitserver import TOKEN, GitServer, run_git

WRONG = Credential("oauth2", "not-the-token")


def local(url: str) -> Remote:
    return parse(url, allow_local=True)


async def refused(remote: Remote, credential: Credential | None = CREDENTIAL) -> RunError:
    with pytest.raises(RunError) as caught:
        await probe(remote, credential)
    return caught.value


async def test_a_probe_finds_the_default_branch(git_server: GitServer) -> None:
    repo = git_server.create("acme/shop", {"a": "b"}, branch="trunk")
    repo.commit({"a": "c"}, "topic/one")
    assert await probe(local(repo.url), CREDENTIAL) == Found("trunk", ("topic/one", "trunk"))
    assert await remote_tip(local(repo.url), CREDENTIAL, "trunk") == repo.branches()["trunk"]
    assert await remote_tip(local(repo.url), CREDENTIAL, "none") is None


async def test_a_public_repository_needs_no_credential(git_server: GitServer) -> None:
    repo = git_server.create("acme/shop", {"a": "b"}, anonymous=True)
    assert (await probe(local(repo.url), None)).default_branch == "main"
    assert {password for _, _, password in git_server.requests} == {None}


async def test_each_way_to_be_unreadable_is_told_apart(git_server: GitServer) -> None:
    private = git_server.create("acme/private", {"a": "b"})
    error = await refused(local(private.url), None)
    assert error.kind == "authentication" and "asks for a login" in error.reason
    error = await refused(local(private.url), WRONG)
    assert error.kind == "authentication" and "wrong, expired or revoked" in error.reason
    assert WRONG.password not in error.reason
    error = await refused(local(f"{git_server.url}/acme/none.git"))
    assert error.kind == "remote" and "no such repository" in error.reason
    empty = git_server.create("acme/empty")
    error = await refused(local(empty.url))
    assert error.kind == "remote" and "push a first commit" in error.reason


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (403, "authentication", "refused access"),
        (429, "rate_limit", "asks to wait"),
        (500, "overload", "a problem of its own"),
        (503, "overload", "a problem of its own"),
    ],
)
async def test_faults_of_the_server(git_server: GitServer, fault: int, kind: str, words: str) -> None:
    repo = git_server.create("acme/certificate", {"a": "b"})
    repo.fault = fault
    error = await refused(local(repo.url))
    assert error.kind == kind and words in error.reason


async def test_a_redirect_is_not_followed(git_server: GitServer) -> None:
    target = git_server.create("acme/target", {"a": "b"})
    repo = git_server.create("acme/shop", {"a": "b"})
    repo.fault = f"redirect:{target.url}"
    error = await refused(local(repo.url))
    assert error.kind == "remote" and "redirect" in error.reason
    assert not any("target" in path and password for _, path, password in git_server.requests)


async def test_nobody_answers(git_server: GitServer) -> None:
    error = await refused(local("http://127.0.0.1:9/acme/shop.git"))
    assert error.kind == "network" and "refused the connection" in error.reason
    error = await refused(local("https://no-such-host.invalid/acme/shop.git"))
    assert error.kind == "network" and "does not resolve" in error.reason
    https = git_server.url.replace("http:", "https:")
    error = await refused(local(f"{https}/acme/shop.git"))
    assert error.kind == "network" and "secure connection" in error.reason


async def test_a_remote_that_hangs_ends_in_time(
    git_server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "ASK_SECONDS", 0.5)
    repo = git_server.create("acme/shop", {"a": "b"})
    repo.fault = "hang"
    began = time.monotonic()
    error = await refused(local(repo.url))
    assert error.kind == "timeout" and "did not answer within 0.5 seconds" in error.reason
    assert time.monotonic() - began < 3


async def test_the_connection_is_the_one_that_was_checked(
    git_server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = git_server.create("acme/shop", {"a": "b"})

    async def checked(*_: object, **__: object) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(transport, "resolve", checked)
    elsewhere = repo.url.replace("127.0.0.1", "git.example.invalid")
    assert (await probe(local(elsewhere), CREDENTIAL)).default_branch == "main"


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not happened():
            await asyncio.sleep(0.02)


def processes_showing(secret: str) -> list[str]:
    """Processes in whose arguments or environment the secret can be read."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            seen = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if secret.encode() in seen:
            found.append(process.name)
    return found


async def test_the_token_is_in_no_argument_and_no_environment(
    git_server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAR_SECRET_KEY", "the-servers-own-secret")
    repo = git_server.create("acme/shop", {"a": "b"})
    repo.fault = "hang-known"
    asking = asyncio.create_task(probe(local(repo.url), CREDENTIAL))
    await until(lambda: any(password == TOKEN for _, _, password in git_server.requests))
    assert await asyncio.to_thread(processes_showing, repo.url) != []
    assert await asyncio.to_thread(processes_showing, TOKEN) == []
    assert await asyncio.to_thread(processes_showing, "the-servers-own-secret") == []
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_cancelled_fetch_is_dead_and_holds_no_lock(git_server: GitServer, tmp_path: Path) -> None:
    repo = git_server.create("acme/shop", {"a": "b"})
    mirror = Mirror(tmp_path, uuid4())
    repo.fault = "hang"
    fetching = asyncio.create_task(mirror.refresh(local(repo.url), CREDENTIAL, "main"))
    await until(lambda: bool(git_server.requests))
    assert await asyncio.to_thread(processes_showing, str(mirror.path)) != []
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert await asyncio.to_thread(processes_showing, str(mirror.path)) == []
    repo.fault = None
    assert await mirror.refresh(local(repo.url), CREDENTIAL, "main") == repo.branches()["main"]


async def test_a_branch_that_is_gone_from_the_remote_is_gone(line: Line) -> None:
    line.repo.commit({"x": "y"}, "topic")
    assert await line.mirror.refresh(line.remote, CREDENTIAL, "topic")
    run_git("update-ref", "-d", "refs/heads/topic", cwd=line.repo.path)
    line.repo.commit({"x": "y"}, "topic/below")
    with pytest.raises(RunError, match="no branch named topic"):
        await line.mirror.refresh(line.remote, CREDENTIAL, "topic")


async def test_access_that_was_taken_away_is_noticed(line: Line) -> None:
    await line.make()
    with pytest.raises(RunError, match="did not accept the token"):
        await line.mirror.refresh(line.remote, WRONG, "main")


async def test_an_empty_repository_says_what_to_do(git_server: GitServer, tmp_path: Path) -> None:
    repo = git_server.create("acme/empty")
    with pytest.raises(RunError, match="push a first commit"):
        await Mirror(tmp_path, uuid4()).refresh(local(repo.url), CREDENTIAL, "main")


async def commit_of(line: Line) -> str:
    work = await line.make()
    (work / "a.txt").write_text("a\n")
    return await line.finish()


async def test_a_refused_push_quotes_the_remote(line: Line) -> None:
    sha = await commit_of(line)
    line.repo.refuse_pushes(f"Commits need a ticket number. \x1b[31m{TOKEN}\x1b[0m")
    with pytest.raises(RunError) as caught:
        await line.push(sha)
    assert caught.value.kind == "remote"
    assert "Commits need a ticket number." in caught.value.reason
    assert TOKEN not in caught.value.reason and "\x1b" not in caught.value.reason
    assert BRANCH not in line.repo.branches()


@pytest.mark.parametrize(("status", "kind"), [(403, "authentication"), (500, "overload")])
async def test_a_push_that_fails(line: Line, status: int, kind: str) -> None:
    sha = await commit_of(line)
    line.repo.push_fault = status
    with pytest.raises(RunError) as caught:
        await line.push(sha)
    assert caught.value.kind == kind


async def test_a_push_with_a_wrong_token(line: Line) -> None:
    sha = await commit_of(line)
    with pytest.raises(RunError, match="did not accept the token"):
        await push(line.store, line.remote, WRONG, sha=sha, branch=BRANCH, expected=None)


async def test_a_credential_that_could_forge_lines_is_refused(git_server: GitServer) -> None:
    repo = git_server.create("acme/shop", {"a": "b"})
    error = await refused(local(repo.url), Credential("a", f"{TOKEN}\nhost=elsewhere"))
    assert error.kind == "authentication" and TOKEN not in error.reason


async def test_the_demo_repository_is_the_same_every_time(tmp_path: Path) -> None:
    tips = []
    for home in ("one", "two"):
        settings = EngineSettings(openlinear_home=tmp_path / home)
        project_id = uuid4()
        path = await ensure_demo_repo(settings, project_id)
        assert await ensure_demo_repo(settings, project_id) == path
        remote = parse(f"demo:{project_id}", allow_local=False, demo_home=demo_home(settings))
        assert (await probe(remote, None)).default_branch == "main"
        tips.append(await Mirror(settings.repos, project_id).refresh(remote, None, "main"))
    assert tips[0] == tips[1]
    names = run_git("ls-tree", "-r", "--name-only", tips[0], cwd=path).decode().split()
    assert {"README.md", "cart/prices.py", "cart/discounts.py", "tests/test_prices.py"} <= set(names)
    assert not [name for name in names if "pycache" in name]


def test_the_demo_project_runs_as_it_comes() -> None:
    folder = Path(transport.__file__).with_name("demo_repo")
    done = subprocess.run(
        [sys.executable, "-B", "-m", "unittest"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert "Ran 4 tests" in done.stderr and done.returncode == 0


async def test_only_the_server_can_name_a_demo_repository(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="demo: remotes are not accepted"):
        parse(f"demo:{uuid4()}", allow_local=True)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("protocol=https\nhost=git.example.com:8443\n\n", b"username=u\npassword=p\n"),
        ("protocol=https\nhost=git.example.com\n\n", b""),
        ("protocol=http\nhost=git.example.com:8443\n\n", b""),
        ("protocol=https\nhost=proxy.example.com:8443\n\n", b""),
    ],
)
async def test_the_helper_answers_for_its_origin_alone(asked: str, answer: bytes) -> None:
    remote = parse("https://git.example.com:8443/acme/shop.git", allow_local=False)
    with lend(remote, Credential("u", "p")) as lent:
        output = await git(
            *lent.config,
            *("credential", "fill"),
            environment=lent.environment,
            descriptors=lent.descriptors,
            stdin=asked.encode(),
            accept=(0, 128),
        )
    assert answer in output.stdout and (output.code == 0) is bool(answer)
    assert answer or b"password=" not in output.stdout
