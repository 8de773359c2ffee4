"""Which credential reaches a project's remote where the project has none of its own.

For the engine's process: what is found here is used at once and kept nowhere. On the GitHub of
`GITHUB_URL` it is, in this order:

1. A token of the GitHub App, for this one repository, where the app is installed for it and the acting
   user may write to it: their own GitHub token says so, at this moment. The app may reach more than they
   do, and a run acts as whoever started it, so membership of a team here proves nothing there.
2. The user's own GitHub token.
"""

import logging
from uuid import UUID

from engine.errors import RunError
from engine.ports import Credential
from openlinear.outside import github as rest
from openlinear.outside import github_app
from openlinear.outside.http import Away
from openlinear.services import github
from openlinear.settings import get_settings

log = logging.getLogger(__name__)

USERNAME = "x-access-token"
AGAIN = "Sign in with GitHub again."


async def credential_for(clone_url: str, user_id: UUID) -> Credential | None:
    """This user's way into the repository; None where they connected no account at this remote.

    RunError, with the cure, where their sign-in ended or was revoked.
    """
    if not github.ours(clone_url):
        return None
    try:
        token = await github.token_of(user_id)
    except github.NoToken as error:
        raise RunError(str(error), "network" if str(error) == github.AWAY else "authentication") from None
    if token is None:
        return None
    lent = await _of_app(clone_url, token)
    return Credential(USERNAME, lent or token, "" if lent else AGAIN)


async def _of_app(clone_url: str, token: str) -> str | None:
    names = rest.names_of(clone_url)
    if names is None:
        return None
    try:
        app = github_app.configured(get_settings())
        if app is None or not await rest.may_push(app.api, token, *names):
            return None
        return await app.token(*names)
    except rest.Revoked:
        raise RunError(github.AGAIN, "authentication") from None
    except Away as error:
        log.warning("The GitHub App gave no token, so the user's own is used: %s", error)
        return None
