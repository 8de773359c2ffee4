"""Model providers: whose keys a user connected, and which model a run uses."""

import re
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from engine.client import DEMO_MODEL
from openlinear import vault
from openlinear.models import Provider
from openlinear.services import credentials, endpoints
from openlinear.services.errors import Conflict, Invalid, NotFound
from openlinear.services.fields import MODEL
from openlinear.services.views import Actor, ProviderView

KNOWN: dict[str, tuple[str, tuple[str, ...]]] = {
    "anthropic": ("Anthropic", ("claude-sonnet-4-5", "claude-opus-4-5", "claude-haiku-4-5")),
    "openai": ("OpenAI", ("gpt-5.1", "gpt-5.1-codex", "gpt-5-mini")),
    "google": ("Google", ("gemini-2.5-pro", "gemini-2.5-flash")),
    "openrouter": ("OpenRouter", ("anthropic/claude-sonnet-4.5", "openai/gpt-5.1")),
}
"""What needs a key alone: the name and models to choose from, the first by default."""
NO_MODEL = "Connect a model provider under Settings first."
PROVIDER_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
DEMO_PROVIDER = DEMO_MODEL.partition("/")[0]
DEMO_NAME = "Demo model, scripted"
KEY_LIMIT = 4096
MOST_MODELS = 200


async def list_providers(session: AsyncSession, actor: Actor) -> list[ProviderView]:
    """What is connected, oldest first, then what could be with a key alone."""
    connected = [_view(row) for row in await _rows(session, actor.id)]
    ids = {provider.provider_id for provider in connected}
    return connected + [
        ProviderView(provider_id, name, None, models, connected=False)
        for provider_id, (name, models) in KNOWN.items()
        if provider_id not in ids
    ]


async def connect(
    session: AsyncSession,
    actor: Actor,
    provider_id: str,
    api_key: str | None,
    *,
    base_url: str | None = None,
    models: Sequence[str] = (),
) -> ProviderView:
    """Keep a provider's key, sealed. With `base_url` it is any OpenAI-compatible endpoint.

    Without a key, the stored one stays as long as it goes to the same host.
    """
    check_id(provider_id)
    base_url = endpoints.checked(base_url) if base_url else None
    models = _models(provider_id, base_url, models)
    row = await session.get(Provider, (actor.id, provider_id), with_for_update=True)
    sealed = _sealed(row, api_key, base_url)
    if row is None:
        row = Provider(user_id=actor.id, provider_id=provider_id, key_secret=sealed)
        session.add(row)
    row.key_secret, row.base_url, row.models = sealed, base_url, list(models)
    row.account_secret = row.account_expires = None
    await session.flush()
    return _view(row)


async def disconnect(session: AsyncSession, actor: Actor, provider_id: str) -> None:
    gone = await session.execute(
        delete(Provider)
        .where(col(Provider.user_id) == actor.id, col(Provider.provider_id) == provider_id)
        .returning(col(Provider.provider_id))
    )
    if gone.first() is None:
        raise NotFound("This provider is not connected.")


async def one(session: AsyncSession, actor: Actor, provider_id: str) -> ProviderView:
    """What the actor connected under this id. NotFound where there is nothing."""
    row = await session.get(Provider, (actor.id, provider_id))
    if row is None:
        raise NotFound("This provider is not connected.")
    return _view(row)


async def model_choices(session: AsyncSession, actor: Actor, *, demo: bool = False) -> list[str]:
    """`provider/model` of everything this user connected; the first is the default. The tasks of a
    demo project (`demo`) may be done by the demo model too, and are while nothing else is connected.
    """
    connected = [
        f"{provider.provider_id}/{model}"
        for provider in map(_view, await _rows(session, actor.id))
        for model in provider.models
    ]
    return [*connected, DEMO_MODEL] if demo else connected


async def default_model(session: AsyncSession, actor: Actor, *, demo: bool) -> str:
    """What does a task that names no model, as a person reads it; empty when nothing is connected."""
    choices = await model_choices(session, actor, demo=demo)
    return "" if not choices else DEMO_NAME if choices[0] == DEMO_MODEL else choices[0]


async def model_for(session: AsyncSession, actor: Actor, wanted: str, *, demo: bool) -> str:
    """The model of a run: the task's, or the default. Conflict when the actor cannot use any such."""
    choices = await model_choices(session, actor, demo=demo)
    if not wanted and not choices:
        raise Conflict(NO_MODEL)
    if not wanted or wanted in choices:
        return wanted or choices[0]
    provider_id = wanted.partition("/")[0]
    if provider_id == DEMO_PROVIDER:
        raise Conflict(
            "The demo model knows the demo project's cards alone. Choose another model for this task."
        )
    if await session.get(Provider, (actor.id, provider_id)) is None:
        raise Conflict(f'Connect the provider "{provider_id}" under Settings first, or choose another model.')
    return wanted


def check_id(provider_id: str) -> None:
    if not PROVIDER_ID.fullmatch(provider_id):
        reason = "must be lower-case letters, digits, dots and dashes"
        raise Invalid(f"The providerId {reason}.", providerId=reason)
    if provider_id == DEMO_PROVIDER:
        raise Invalid("The demo model needs no key.", providerId="is the demo model's name")


def _models(provider_id: str, base_url: str | None, models: Sequence[str]) -> list[str]:
    if not models and (base_url or provider_id not in KNOWN):
        raise Invalid("Name at least one model of this provider.", models="needs at least one model id")
    if base_url is None and provider_id not in KNOWN:
        raise Invalid("Give the base URL of this provider.", baseUrl="is needed for this provider")
    if len(models) > MOST_MODELS or not all(MODEL.fullmatch(f"{provider_id}/{model}") for model in models):
        raise Invalid("One of the models is not a model id.", models="must be model ids without spaces")
    return list(dict.fromkeys(models))


def _sealed(row: Provider | None, api_key: str | None, base_url: str | None) -> str:
    """The key, sealed; or the one that is kept, which never goes to another host."""
    if api_key:
        if len(api_key) > KEY_LIMIT or not api_key.isascii() or not api_key.isprintable():
            raise Invalid("The API key is not one.", apiKey="must be printable ASCII")
        return vault.seal(credentials.PROVIDER, api_key.strip())
    if row is not None and credentials.origin(row.base_url) == credentials.origin(base_url):
        return row.key_secret
    if base_url is None or row is not None:
        raise Invalid("Give the API key for this address.", apiKey="is needed")
    return vault.seal(credentials.PROVIDER, "")


async def _rows(session: AsyncSession, user_id: UUID) -> list[Provider]:
    rows = await session.scalars(
        select(Provider).where(col(Provider.user_id) == user_id).order_by(col(Provider.created_at))
    )
    return list(rows)


def _view(row: Provider) -> ProviderView:
    name, models = KNOWN.get(row.provider_id, (row.provider_id, ()))
    return ProviderView(
        row.provider_id,
        name,
        row.base_url,
        tuple(row.models) or models,
        by="account" if row.account_secret else "key",
        since=row.created_at,
    )
