"""What a remote says of itself, asked by a worker: the product touches no git."""

from typing import TypedDict
from uuid import UUID

from dbos import DBOS

from engine.errors import RunError
from engine.git.remote import parse
from engine.git.transport import probe
from engine.world import world

BRANCHES_NAMED = 200


class Found(TypedDict):
    default_branch: str | None
    branches: list[str]
    error: str | None


@DBOS.workflow(name="check_remote")
async def check_remote(project_id: str, user_id: str) -> Found:
    return await ask(project_id, user_id)


@DBOS.step(name="ask")
async def ask(project_id: str, user_id: str) -> Found:
    """Read the remote's branches with the project's credential. A refusal is an answer too."""
    here = world()
    try:
        access = await here.product.remote(UUID(project_id), UUID(user_id))
        remote = parse(access.url, allow_local=here.settings.allow_local_remotes)
        found = await probe(remote, access.credential)
    except RunError as error:
        return Found(default_branch=None, branches=[], error=error.reason)
    return Found(
        default_branch=found.default_branch, branches=list(found.branches[:BRANCHES_NAMED]), error=None
    )
