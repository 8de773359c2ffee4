"""Model providers: whose keys a user connected, and which model a run uses."""

import re
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from engine.client import DEMO_MODEL
from openlinear import db, vault
from openlinear.engine_client import engine_client
from openlinear.models import Provider
from openlinear.outside import model_list
from openlinear.services import credentials, endpoints
from openlinear.services.errors import Conflict, Invalid, NotFound
from openlinear.services.fields import MODEL
from openlinear.services.views import Actor, ProviderView
from openlinear.settings import get_settings

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


class NoModels(Invalid):
    """Nobody named an endpoint's models. It may know itself, and may be sent this key, which is sealed."""

    def __init__(self, base_url: str, sealed: str) -> None:
        super().__init__(
            "This endpoint named no model when it was asked (GET /models under its base URL). Check the base "
            "URL and the key, or name at least one model.",
            models="needs at least one model id",
        )
        self.base_url, self.sealed = base_url, sealed


async def save(
    actor: Actor,
    provider_id: str,
    api_key: str | None,
    *,
    base_url: str | None = None,
    models: Sequence[str] | None = None,
) -> ProviderView:
    """As `connect`; an endpoint whose models nobody named is asked for them. Takes no session: it may be
    slow.
    """
    try:
        async with db.transaction() as session:
            return await connect(session, actor, provider_id, api_key, base_url=base_url, models=models)
    except NoModels as lack:
        named = await _asked(provider_id, lack)
        if not named:
            raise
    async with db.transaction() as session:
        return await connect(session, actor, provider_id, api_key, base_url=base_url, models=named)


async def connect(
    session: AsyncSession,
    actor: Actor,
    provider_id: str,
    api_key: str | None,
    *,
    base_url: str | None = None,
    models: Sequence[str] | None = None,
) -> ProviderView:
    """Keep a provider's key, sealed. With `base_url` it is any OpenAI-compatible endpoint.

    None leaves what is stored as it is; an empty `base_url` is the provider's own address, and no models are
    those that it is known for. Another host gets no stored credential: without a key it has none then.
    """
    check_id(provider_id)
    row = await session.get(Provider, (actor.id, provider_id), with_for_update=True)
    address = endpoints.checked(base_url) if base_url else row.base_url if row and base_url is None else None
    key, account, expires = _credential(row, api_key, address)
    if address is None and provider_id not in KNOWN and account is None:
        raise Invalid("Give the base URL of this provider.", baseUrl="is needed for this provider")
    named = _checked(provider_id, models if models is not None else row.models if row else ())
    if address is not None and not named:
        raise NoModels(address, key)
    if row is None:
        row = Provider(user_id=actor.id, provider_id=provider_id, key_secret=key)
        session.add(row)
    row.key_secret, row.account_secret, row.account_expires = key, account, expires
    row.base_url, row.models = address, named
    await session.flush()
    await engine_client().egress_changed(session)
    return _view(row)


async def disconnect(session: AsyncSession, actor: Actor, provider_id: str) -> None:
    """Forget it. Its host is closed to the actor's agents at once."""
    check_id(provider_id)
    gone = await session.execute(
        delete(Provider)
        .where(col(Provider.user_id) == actor.id, col(Provider.provider_id) == provider_id)
        .returning(col(Provider.provider_id))
    )
    if gone.first() is None:
        raise NotFound("This provider is not connected.")
    await engine_client().egress_changed(session)


async def one(session: AsyncSession, actor: Actor, provider_id: str) -> ProviderView:
    """What the actor connected under this id. NotFound where there is nothing."""
    check_id(provider_id)
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


def _checked(provider_id: str, models: Sequence[str]) -> list[str]:
    if len(models) > MOST_MODELS:
        raise Invalid(f"Name at most {MOST_MODELS} models.", models=f"at most {MOST_MODELS}")
    if not all(_is_model(provider_id, model) for model in models):
        raise Invalid("One of the models is not a model id.", models="must be model ids without spaces")
    return list(dict.fromkeys(models))


def _is_model(provider_id: str, model: str) -> bool:
    return MODEL.fullmatch(f"{provider_id}/{model}") is not None


async def _asked(provider_id: str, lack: NoModels) -> list[str]:
    """The models that the endpoint names, as far as they can be kept."""
    try:
        key = vault.unseal(credentials.PROVIDER, lack.sealed)
    except vault.Unreadable:
        key = ""
    local = get_settings().allow_local_remotes
    found = await model_list.models_of(lack.base_url, key, allow_local=local)
    return [model for model in found if _is_model(provider_id, model)][:MOST_MODELS]


def _credential(
    row: Provider | None, api_key: str | None, base_url: str | None
) -> tuple[str, str | None, int | None]:
    """The key, and the account with its end: what is given, or what is kept, which goes to no other host."""
    if api_key:
        if len(api_key) > KEY_LIMIT or not api_key.isascii() or not api_key.isprintable():
            raise Invalid("The API key is not one.", apiKey="must be printable ASCII")
        return credentials.seal_key(api_key.strip()), None, None
    if row is None and base_url is None:
        raise Invalid("Give the API key of this provider.", apiKey="is needed")
    if row is not None and credentials.origin(row.base_url) == credentials.origin(base_url):
        return row.key_secret, row.account_secret, row.account_expires
    return credentials.seal_key(""), None, None


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
