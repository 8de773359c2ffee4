"""What the engine asks of the product (`engine.ports.Product`). Runs in the worker's process."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from engine.errors import RunError
from engine.ports import BatchNews, Brief, Credential, Egress, Known, Product, ProviderKey, RemoteAccess
from openlinear import db, lending, vault
from openlinear.models import Project, Provider, User
from openlinear.services import batch_news, credentials, execution, preferences, sign_ins
from openlinear.services.access import usable_by, viewers
from openlinear.services.errors import NotFound

KEY_CHANGED = (
    "{what} can no longer be read, since OPENLINEAR_SECRET_KEY is another one now. Enter it again{where}."
)


class OpenLinear:
    """The product behind the engine's port. Secrets leave the vault here, when they are used."""

    async def remote(self, project_id: UUID, user_id: UUID) -> RemoteAccess:
        """The project's remote, for its owner or any member of its team; hidden projects too, since theirs
        are being tried for the first time. Without a credential of its own it is reached as the user.
        """
        async with db.transaction() as session:
            project = await session.scalar(
                select(Project).where(col(Project.id) == project_id, usable_by(user_id))
            )
        if project is None:
            raise RunError("The project is gone, or you may no longer use it.", "authentication")
        own = _credential(project.remote_secret)
        return RemoteAccess(
            project.clone_url, own or await lending.credential_for(project.clone_url, user_id)
        )

    async def provider_keys(self, user_id: UUID) -> Sequence[ProviderKey]:
        async with db.transaction() as session:
            rows = await session.scalars(
                select(Provider).where(col(Provider.user_id) == user_id).order_by(col(Provider.created_at))
            )
        return [
            ProviderKey(
                provider=row.provider_id,
                api_key=_unsealed(row),
                account=_account(row),
                base_url=row.base_url,
                models=tuple(row.models),
            )
            for row in rows
        ]

    async def egress(self, user_id: UUID) -> Egress:
        return (await self.egresses([user_id]))[user_id]

    async def egresses(self, user_ids: Collection[UUID]) -> Mapping[UUID, Egress]:
        async with db.transaction() as session:
            return await preferences.egresses(session, user_ids)

    async def sign_in_inputs(self, user_id: UUID, provider: str) -> Mapping[str, str]:
        try:
            async with db.transaction() as session:
                return await sign_ins.inputs(session, user_id, provider)
        except vault.Unreadable:
            raise RunError(sign_ins.NO_SIGN_IN, "authentication") from None

    async def sign_in_code(self, user_id: UUID, provider: str) -> str:
        try:
            async with db.transaction() as session:
                return await sign_ins.code(session, user_id, provider)
        except NotFound as error:
            raise RunError(str(error), "authentication") from error
        except vault.Unreadable:
            raise RunError(sign_ins.NO_SIGN_IN, "authentication") from None

    async def keep_account(
        self, user_id: UUID, provider: str, account: Mapping[str, Any], *, new: bool
    ) -> None:
        async with db.transaction() as session:
            await sign_ins.keep_account(session, user_id, provider, account, new=new)

    async def known(self) -> Known:
        async with db.transaction() as session:
            users = await session.scalars(select(col(User.id)))
            projects = frozenset(await session.scalars(select(col(Project.id))))
            seen_by = await viewers(session, projects)
            uses = {(user, project) for project, seers in seen_by.items() for user in seers}
            return Known(frozenset(users), projects, frozenset(uses))

    async def slots(self, session: Any, user_id: UUID) -> int:
        return await preferences.slots(session, user_id)

    async def begins(self, session: Any, run_id: UUID) -> Brief:
        return await execution.begins(session, run_id)

    async def batch(self, session: Any, batch_id: UUID, news: BatchNews, task_id: UUID | None = None) -> None:
        await batch_news.tell(session, batch_id, news, task_id)

    async def kept(self, session: Any, run_id: UUID) -> None:
        await execution.kept(session, run_id)

    async def waits(self, session: Any, run_id: UUID) -> None:
        await execution.waits(session, run_id)

    async def ended(self, session: Any, run_id: UUID) -> None:
        await execution.ended(session, run_id)


def product() -> Product:
    """For `python -m engine --product openlinear.adapters:product`."""
    return OpenLinear()


def _credential(sealed: str | None) -> Credential | None:
    if sealed is None:
        return None
    try:
        return Credential(*credentials.unseal_remote(sealed))
    except vault.Unreadable:
        reason = KEY_CHANGED.format(what="The remote's credential", where=" in the project's settings")
        raise RunError(reason, "authentication") from None


def _unsealed(row: Provider) -> str:
    try:
        return vault.unseal(credentials.PROVIDER, row.key_secret)
    except vault.Unreadable:
        what = f'The key of the provider "{row.provider_id}"'
        raise RunError(KEY_CHANGED.format(what=what, where=" under Settings"), "authentication") from None


def _account(row: Provider) -> dict[str, Any] | None:
    if row.account_secret is None:
        return None
    try:
        return credentials.unseal_account(row.account_secret)
    except vault.Unreadable:
        reason = f'The account at "{row.provider_id}" can no longer be read. Sign in again under Settings.'
        raise RunError(reason, "authentication") from None
