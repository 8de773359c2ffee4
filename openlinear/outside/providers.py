"""Which providers this server is set up for."""

from collections.abc import Sequence

from openlinear.outside.github import GitHub
from openlinear.outside.oidc import OpenIdConnect
from openlinear.outside.provider import Provider
from openlinear.settings import get_settings


def configured() -> Sequence[Provider]:
    """In the order in which people are offered them."""
    settings = get_settings()
    found: list[Provider] = []
    if settings.github_client_id and settings.github_client_secret.get_secret_value():
        found.append(GitHub(settings))
    if settings.oidc_issuer and settings.oidc_client_id:
        found.append(OpenIdConnect(settings))
    return found
