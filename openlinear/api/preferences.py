"""Labels, execution settings, model providers and one's own log over HTTP."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field, SecretStr, StrictBool, StrictInt

from openlinear.api.fields import Behavior, Color, Host, LabelName, Network
from openlinear.api.projects import Limit
from openlinear.api.security import Me, Session
from openlinear.api.shapes import Items, Label, LimitsChange, Provider, Settings, Shape, page_of
from openlinear.api.team_shapes import AuditEntry
from openlinear.services import audit, labels, paging, preferences, providers, sign_ins

router = APIRouter(prefix="/api")


class NewLabel(Shape):
    name: LabelName
    color: Color = "slate"
    team_id: UUID | None = Field(None, description="Whose it is; without one, the caller's own.")


class LabelChange(Shape):
    name: LabelName | None = None
    color: Color | None = None


class SettingsChange(Shape):
    parallel_limit: StrictInt | None = None
    max_batch_size: StrictInt | None = None
    auto_approve: StrictBool | None = None
    stop_on_failure: StrictBool | None = None
    conflict_behavior: Behavior | None = None
    build_on_previous: StrictBool | None = None
    network: Network | None = Field(
        None,
        description="What the caller's agents reach: `open`, every public host; `listed`, package registries "
        "and `networkHosts`; `none`, no host but the model's, which is part of each.",
    )
    network_hosts: list[Host] | None = Field(
        None,
        description="Such as `example.com`, `*.example.com` or `example.com:8443`.",
        json_schema_extra={"maxItems": preferences.MOST_HOSTS},
    )
    limits: LimitsChange | None = None


class Connection(Shape):
    """What is left out stays as it is stored."""

    provider_id: str
    api_key: SecretStr | None = Field(
        None, description="Another host gets no stored key: left out, it is cleared then."
    )
    base_url: str | None = Field(
        None, description="An OpenAI-compatible endpoint; empty for the provider's own address."
    )
    models: list[str] | None = Field(
        None, description="Ids of models. Where none are stored, those that the endpoint names itself."
    )


class ProviderId(Shape):
    provider_id: str


class SignInWish(Shape):
    provider_id: str
    method: StrictInt | None = Field(
        None,
        ge=0,
        le=19,
        description="Which of the provider's ways; without one, the first that works from where agents run.",
    )
    inputs: dict[str, SecretStr] | None = Field(
        None,
        description="What that way asks of the person. It is not kept.",
        json_schema_extra={"maxProperties": sign_ins.MOST_INPUTS},
    )


class SignInPage(Shape):
    url: str
    method: Literal["code", "auto"]
    instructions: str


class SignInCode(Shape):
    provider_id: str
    method: StrictInt | None = Field(None, ge=0, le=19, description="As it was begun: 409 for another.")
    code: SecretStr | None = Field(None, description="What the provider's page gave, where it gives one.")


class ProviderTest(Shape):
    provider_id: str
    model: str | None = None


class ProviderWorks(Shape):
    works: bool
    reason: str | None = Field(description="Why it does not, with the cure.")


@router.get("/labels", tags=["labels"])
async def list_labels(
    session: Session,
    actor: Me,
    team_id: Annotated[UUID | None, Query(alias="teamId")] = None,
    limit: Limit = paging.LIMIT,
    cursor: str | None = None,
) -> Items[Label]:
    """A team's, or all that the caller may use: their own and their teams'."""
    return page_of(paging.sliced(await labels.list_labels(session, actor, team_id), cursor, limit), Label)


@router.post("/labels", status_code=201, tags=["labels"])
async def create_label(body: NewLabel, session: Session, actor: Me) -> Label:
    made = await labels.create_label(session, actor, body.name, body.color, team_id=body.team_id)
    return Label.model_validate(made)


@router.patch("/labels/{label_id}", tags=["labels"])
async def update_label(label_id: UUID, body: LabelChange, session: Session, actor: Me) -> Label:
    return Label.model_validate(
        await labels.update_label(session, actor, label_id, name=body.name, color=body.color)
    )


@router.delete("/labels/{label_id}", status_code=204, tags=["labels"])
async def delete_label(label_id: UUID, session: Session, actor: Me) -> None:
    await labels.delete_label(session, actor, label_id)


@router.get("/settings", tags=["settings"])
async def show_settings(session: Session, actor: Me) -> Settings:
    return Settings.model_validate(await preferences.get_settings(session, actor))


@router.patch("/settings", tags=["settings"])
async def update_settings(body: SettingsChange, session: Session, actor: Me) -> Settings:
    given = body.model_dump(exclude_unset=True)
    patch = preferences.SettingsPatch(**{name: value for name, value in given.items() if value is not None})  # type: ignore[typeddict-item]
    return Settings.model_validate(await preferences.update_settings(session, actor, patch))


@router.get("/audit", tags=["audit"])
async def show_audit(
    session: Session, actor: Me, limit: Limit = paging.LIMIT, cursor: str | None = None
) -> Items[AuditEntry]:
    """What the caller did to what is theirs alone, the latest first. A team has a log of its own."""
    return page_of(await audit.own(session, actor, limit=limit, cursor=cursor), AuditEntry)


@router.get("/opencode/providers", tags=["providers"])
async def list_providers(
    session: Session, actor: Me, limit: Limit = paging.LIMIT, cursor: str | None = None
) -> Items[Provider]:
    """What is connected, oldest first, then what could be with a key alone."""
    return page_of(paging.sliced(await providers.list_providers(session, actor), cursor, limit), Provider)


@router.post("/opencode/auth", tags=["providers"])
async def connect(body: Connection, actor: Me) -> Provider:
    """Keep a key. It never comes out; left out, the stored one stays for the same host."""
    key = body.api_key.get_secret_value() if body.api_key else None
    return Provider.model_validate(
        await providers.save(actor, body.provider_id, key, base_url=body.base_url, models=body.models)
    )


@router.delete("/opencode/auth", status_code=204, tags=["providers"])
async def disconnect(
    session: Session,
    actor: Me,
    body: ProviderId | None = None,
    provider_id: Annotated[str | None, Query(alias="providerId")] = None,
) -> None:
    """The provider is named in the body, or in the query where a client sends no body with DELETE."""
    await providers.disconnect(session, actor, body.provider_id if body else provider_id or "")


@router.post("/opencode/auth/oauth/authorize", tags=["providers"])
async def begin_sign_in(body: SignInWish, actor: Me) -> SignInPage:
    """The provider's page to sign in on. A second one replaces the first; it ends after 15 minutes."""
    inputs = {name: value.get_secret_value() for name, value in (body.inputs or {}).items()}
    return SignInPage.model_validate(await sign_ins.begin(actor, body.provider_id, body.method, inputs))


@router.post("/opencode/auth/oauth/callback", tags=["providers"])
async def end_sign_in(body: SignInCode, actor: Me) -> Provider:
    """Connect the account, with the code of that page where its method was `code`."""
    code = body.code.get_secret_value() if body.code else None
    return Provider.model_validate(await sign_ins.end(actor, body.provider_id, code, body.method))


@router.post("/opencode/auth/test", tags=["providers"])
async def try_provider(body: ProviderTest, actor: Me) -> ProviderWorks:
    """One tiny request to the provider, by the caller's own agent."""
    reason = await sign_ins.try_out(actor, body.provider_id, body.model)
    return ProviderWorks(works=reason is None, reason=reason)
