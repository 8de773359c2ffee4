"""A project's remote, as one user may reach it now."""

from uuid import UUID

from engine.git.demo import demo_home, ensure_demo_repo
from engine.git.remote import Remote, parse
from engine.ports import Credential
from engine.world import World


async def remote_of(here: World, project_id: UUID, user_id: UUID) -> tuple[Remote, Credential | None]:
    """The remote and this user's credential for it, checked and fetched at each use. RunError if refused."""
    access = await here.product.remote(project_id, user_id)
    settings = here.settings
    remote = parse(access.url, allow_local=settings.allow_local_remotes, demo_home=demo_home(settings))
    if remote.scheme == "demo":
        await ensure_demo_repo(settings, project_id)
    return remote, access.credential
