"""How a user's tasks are run."""

from collections import defaultdict
from collections.abc import Collection
from datetime import timedelta
from typing import Any, TypedDict, cast
from uuid import UUID

from sqlalchemy import cast as sql_cast
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from engine.egress_hosts import normal
from engine.limits import Limits
from engine.ports import Egress, EgressMode
from openlinear import settings
from openlinear.engine_client import engine_client
from openlinear.models import Preferences, Provider, ProviderSignIn
from openlinear.models.columns import now
from openlinear.services.errors import Invalid
from openlinear.services.limits import LimitsPatch, changed
from openlinear.services.views import Actor, ExecutionSettings

MOST = {"parallel_limit": 50, "max_batch_size": 50}
BEHAVIORS = ("skip", "fail", "resolve")
NETWORKS = ("open", "listed", "none")
MOST_HOSTS = 100
SIGN_IN_ENDS_AFTER = timedelta(minutes=15)


class SettingsPatch(TypedDict, total=False):
    parallel_limit: int
    max_batch_size: int
    auto_approve: bool
    stop_on_failure: bool
    conflict_behavior: str
    build_on_previous: bool
    network: str
    network_hosts: list[str]
    limits: LimitsPatch


async def get_settings(session: AsyncSession, actor: Actor) -> ExecutionSettings:
    row = await session.get(Preferences, actor.id, populate_existing=True)
    network = settings.get_settings().egress_default
    if row is None:
        return ExecutionSettings(network=network)
    return ExecutionSettings(
        parallel_limit=row.parallel_limit,
        max_batch_size=row.max_batch_size,
        auto_approve=row.auto_approve,
        stop_on_failure=row.stop_on_failure,
        conflict_behavior=row.conflict_behavior,
        build_on_previous=row.build_on_previous,
        network=cast(EgressMode, row.network or network),
        network_hosts=tuple(row.network_hosts),
        limits=Limits(**row.limits),
    )


async def slots(session: AsyncSession, user_id: UUID) -> int:
    """How many of a user's runs may be under way at once. For the engine; no actor."""
    row = await session.get(Preferences, user_id, populate_existing=True)
    return row.parallel_limit if row is not None else ExecutionSettings().parallel_limit


async def egresses(session: AsyncSession, user_ids: Collection[UUID]) -> dict[UUID, Egress]:
    """What these users' agents may reach; a provider that one is signing in to is among it. For the engine;
    no actor.
    """
    chosen = await session.scalars(
        select(Preferences)
        .where(col(Preferences.user_id).in_(user_ids))
        .execution_options(populate_existing=True)
    )
    rows = {row.user_id: row for row in chosen}
    providers: defaultdict[UUID, set[str]] = defaultdict(set)
    for one in await session.scalars(select(Provider).where(col(Provider.user_id).in_(user_ids))):
        providers[one.user_id].add(one.base_url or one.provider_id)
    begun = select(ProviderSignIn).where(
        col(ProviderSignIn.user_id).in_(user_ids), col(ProviderSignIn.began_at) > now() - SIGN_IN_ENDS_AFTER
    )
    for sign_in in await session.scalars(begun):
        providers[sign_in.user_id].add(sign_in.provider_id)
    default = settings.get_settings().egress_default
    return {
        user_id: Egress(
            cast(EgressMode, (row.network if (row := rows.get(user_id)) else None) or default),
            tuple(row.network_hosts) if row else (),
            tuple(sorted(providers[user_id])),
        )
        for user_id in user_ids
    }


async def update_settings(session: AsyncSession, actor: Actor, patch: SettingsPatch) -> ExecutionSettings:
    _check(patch)
    if "network_hosts" in patch:
        patch = {**patch, "network_hosts": _hosts(patch["network_hosts"])}
    if patch:
        change: dict[str, Any] = dict(patch)
        first: dict[str, Any] = dict(patch)
        if "limits" in patch:
            first["limits"] = changed({}, patch["limits"])
            both = col(Preferences.limits).op("||")(sql_cast(dict(patch["limits"]), JSONB))
            change["limits"] = func.jsonb_strip_nulls(both)
        query = insert(Preferences).values(**Preferences(user_id=actor.id, **first).model_dump())
        await session.execute(query.on_conflict_do_update(index_elements=["user_id"], set_=change))
        if patch.keys() & {"network", "network_hosts"}:
            await engine_client().egress_changed(session)
    return await get_settings(session, actor)


def _check(patch: SettingsPatch) -> None:
    camel = {"parallel_limit": "parallelLimit", "max_batch_size": "maxBatchSize"}
    for name, value in patch.items():
        if name in MOST and not (isinstance(value, int) and 1 <= value <= MOST[name]):
            reason = f"must be 1 to {MOST[name]}"
            raise Invalid(f"The {camel[name]} {reason}.", **{camel[name]: reason})
    if patch.get("network", "listed") not in NETWORKS:
        choice = ", ".join(NETWORKS)
        raise Invalid(f"The network must be one of: {choice}.", network=f"one of: {choice}")
    if patch.get("conflict_behavior", "skip") not in BEHAVIORS:
        choice = ", ".join(BEHAVIORS)
        raise Invalid(f"The conflictBehavior must be one of: {choice}.", conflictBehavior=f"one of: {choice}")


def _hosts(hosts: list[str]) -> list[str]:
    """Each as it is compared, once. Invalid names the first that is none."""
    if len(hosts) > MOST_HOSTS:
        raise Invalid(f"At most {MOST_HOSTS} hosts can be listed.", networkHosts=f"at most {MOST_HOSTS}")
    found = []
    for host in hosts:
        try:
            found.append(normal(host))
        except ValueError as error:
            raise Invalid(f"The host {host[:80]!r} {error}.", networkHosts=str(error)) from None
    return list(dict.fromkeys(found))
