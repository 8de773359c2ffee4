"""What has to be free again once a run has ended, whichever way it went."""

import asyncio
from http import HTTPStatus

import docker
from docker.errors import APIError, NotFound

from tests.support.stack import Json, Person


def container_of(person: Person) -> str:
    return f"opencode-user-{person.id}-{person.stack.environment['INSTALLATION']}"


def _inside(name: str, command: str) -> str:
    client = docker.from_env()
    try:
        container = client.containers.get(name)
        if container.status == "created":
            return ""
        return str(container.exec_run(["sh", "-c", command]).output.decode(errors="replace"))
    except NotFound:
        return ""
    except APIError as error:
        if error.status_code != HTTPStatus.CONFLICT:  # it is going just now, and all in it with it
            raise
        return ""
    finally:
        client.close()


async def inside(person: Person, command: str) -> str:
    """What a shell in the person's container prints; nothing where none was started yet."""
    return await asyncio.to_thread(_inside, container_of(person), command)


async def cleared(person: Person, run: str) -> None:
    """Wait until the worker says that it has cleared up after the ended run."""
    query = "SELECT 1 FROM runs WHERE id = %s AND cleared_at IS NOT NULL"
    async with asyncio.timeout(30):
        while not person.stack.rows(query, run):
            await asyncio.sleep(0.1)


async def assert_freed(person: Person, *tasks: Json) -> None:
    """Slot, lease, workspace and what was half taken over: nothing of these ended runs is left."""
    stack = person.stack
    repos = stack.home / "repos"
    for task in tasks:
        assert task["execution"]["endedAt"] is not None
        await cleared(person, task["execution"]["runId"])
    listing = await inside(person, "ls -A repos; ps axww -o args")
    for task in tasks:
        run = task["execution"]["runId"]
        assert stack.rows("SELECT run_id FROM leases WHERE run_id = %s", run) == []
        assert run not in listing
        left = [*repos.glob(f"incoming/{run}"), *repos.glob(f"mirrors/*.runs.git/quarantine/{run}")]
        assert left == []
        assert not list(repos.glob(f"mirrors/{task['projectId']}.git/objects/pack/tmp_*"))


async def assert_done(person: Person, task: Json) -> Json:
    """The task's run ends well, and frees all it held."""
    ended = await person.ended(task)
    log = [entry["message"] for entry in await person.log(task)]
    assert ended["executionStatus"] == "done", (ended["executionError"], log, person.stack.log_tails())
    await assert_freed(person, ended)
    return ended


async def assert_failed(person: Person, task: Json, *words: str, kind: str) -> Json:
    """The task's run ends as failed, for a reason that says this, and frees all it held."""
    ended = await person.ended(task)
    reason = ended["executionError"] or ""
    assert ended["executionStatus"] == "failed", ended
    for word in words:
        assert word in reason, reason
    [(found,)] = person.stack.rows("SELECT error_kind FROM runs WHERE id = %s", ended["execution"]["runId"])
    assert found == kind, reason
    await assert_freed(person, ended)
    return ended
