"""Every column that holds a secret, sealed by `openlinear.vault`, and sealing all of them anew."""

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from openlinear import vault
from openlinear.services.credentials import ACCOUNT, CODE, IDENTITY, PROVIDER, REMOTE
from openlinear.services.webhook_secrets import GITHUB, WEBHOOK


@dataclass(frozen=True, slots=True)
class Column:
    """`kind` is what a person calls the secrets in it."""

    table: str
    column: str
    purpose: str
    kind: str


SEALED: tuple[Column, ...] = (
    Column("projects", "remote_secret", REMOTE, "credentials of projects' remotes"),
    Column("provider_keys", "key_secret", PROVIDER, "keys of model providers"),
    Column("provider_keys", "account_secret", ACCOUNT, "accounts at model providers"),
    Column("identities", "token_secret", IDENTITY, "tokens of those who sign in elsewhere"),
    Column("webhooks", "secret", WEBHOOK, "secrets of webhooks"),
    Column("github_hooks", "secret", GITHUB, "secrets that GitHub signs with"),
    Column("provider_sign_ins", "code_secret", CODE, "codes to sign in with"),
)
"""A column that is not named here is lost at the next change of the key; a test holds that all are."""


@dataclass(frozen=True, slots=True)
class Resealed:
    count: int
    unreadable: dict[str, int]
    """How many of a kind no key opens. They stay as they are."""


def reseal(connection: "psycopg.Connection[Any]", secret: str) -> Resealed:
    """Seal everything with the first key of `secret`, in the connection's transaction.

    Nobody writes to these tables until it ends, so that nothing is sealed behind its back.
    """
    count, unreadable = 0, dict[str, int]()
    for column in SEALED:
        table, name = Identifier(column.table), Identifier(column.column)
        connection.execute(SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(table))
        found = SQL("SELECT ctid::text, {} FROM {} WHERE {} IS NOT NULL").format(name, table, name)
        fresh = []
        for place, sealed in connection.execute(found).fetchall():
            try:
                fresh.append((vault.reseal(secret, column.purpose, sealed), place))
            except vault.Unreadable:
                unreadable[column.kind] = unreadable.get(column.kind, 0) + 1
        change = SQL("UPDATE {} SET {} = %s WHERE ctid = %s::tid").format(table, name)
        with connection.cursor() as cursor:
            cursor.executemany(change, fresh)
        count += len(fresh)
    return Resealed(count, unreadable)
