"""`openlinear restore`: an installation from a backup, in an empty one, on whatever it has.

All of the file is read and checked before anything is written. Rows come in one transaction with the
end of the runs that were under way; repositories get their places just before it commits.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from psycopg.sql import SQL, Identifier
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from engine import backup as engine
from openlinear import vault
from openlinear.backup import tables
from openlinear.backup.archive import Checked, check, damaged, members
from openlinear.backup.files import Files, Tell
from openlinear.backup.manifest import Manifest
from openlinear.errors import StartError
from openlinear.migrate import LOCK, alembic_config, migrate, upgrade
from openlinear.services import execution
from openlinear.settings import Settings

_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND usename IS NOT NULL AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True, slots=True)
class Restored:
    manifest: Manifest
    ended_runs: int


def checked(settings: Settings, secret: str, path: Path, *, without_key: bool) -> Checked:
    """The backup, read to its end, known to this version, and sealed with a key that is here."""
    if not path.is_file():
        raise StartError(f"There is no file {path}.")
    found = check(path, shutil.disk_usage(_existing(settings.openlinear_home)).free)
    manifest = found.manifest
    script = ScriptDirectory.from_config(alembic_config())
    try:
        script.get_revisions(manifest.revisions)
    except CommandError:
        raise StartError(
            f"The backup was made by OpenLinear {manifest.version}, whose tables are newer than this "
            "version's: install that version or a later one, then restore it."
        ) from None
    _check_key(found, secret, without_key)
    return found


def _check_key(found: Checked, secret: str, without_key: bool) -> None:
    wanted = found.manifest.key_checks
    here = dict(zip(vault.checks(secret), vault.parts(secret), strict=True)) if secret else {}
    signer = here.get(wanted[0]) if wanted else None
    if signer is not None and not found.sealed_by(lambda said: vault.signature(signer, said)):
        raise StartError("The backup was changed after it was made. Nothing was restored.")
    if without_key or (wanted and set(wanted) <= here.keys()):
        return
    state = "The key here is not" if secret else "There is no key here, thus not"
    raise StartError(
        f"{state} the one that sealed this backup: its {found.manifest.sealed} stored credentials (provider "
        "keys, remotes' passwords) would be unreadable, and nothing shows whether it was changed. Import "
        "the key with `openlinear key import` first, or restore with --without-key and enter them again."
    )


async def restore_backup(settings: Settings, url: str, path: Path, found: Checked, tell: Tell) -> Restored:
    """Fill the empty database at `url` and the empty folders of `settings`. StartError, with nothing
    changed, when either holds something already or somebody uses the database."""
    manifest = found.manifest
    with Files(settings, path, manifest, tell) as files:
        async with _alone(url) as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            await _check_empty(raw, manifest)
            for revision in manifest.revisions:
                await connection.run_sync(upgrade, revision)
            await _rows(raw, path, manifest, tell)
            await connection.run_sync(upgrade, "heads")
            ended = await _end_runs(connection, manifest)
            await files.make()
            files.settle()
    await asyncio.to_thread(migrate, url)  # the workflows' tables, which begin empty
    return Restored(manifest, ended)


@asynccontextmanager
async def _alone(url: str) -> AsyncIterator[AsyncConnection]:
    """The database's only connection, in one transaction; nobody migrates meanwhile."""
    database = create_async_engine(url)
    try:
        async with database.begin() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            ours = await tables.value(raw, "SELECT pg_try_advisory_xact_lock(%s)", LOCK)
            if not ours or await tables.value(raw, _OTHERS):
                raise StartError("Somebody uses this database now: stop OpenLinear everywhere, then restore.")
            await tables.same_text(raw)
            yield connection
    except (psycopg.Error, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise StartError(f"The database refused, and is as before: {str(cause).splitlines()[0]}") from error
    finally:
        await database.dispose()


async def _check_empty(raw: tables.Connection, manifest: Manifest) -> None:
    if await tables.value(raw, "SHOW server_encoding") != "UTF8":
        raise StartError("The database does not keep text as UTF-8: create it with ENCODING 'UTF8'.")
    for name in await tables.tables(raw):
        if await tables.value(raw, SQL("SELECT EXISTS (SELECT 1 FROM {})").format(Identifier(name))):
            raise StartError(
                f"The database is in use: its table {name} has rows. A backup is restored into an empty one: "
                "name a new database, or an OPENLINEAR_HOME that does not exist yet."
            )
    there = await tables.revisions(raw)
    if there and there != manifest.revisions:
        raise StartError(
            "The database is empty, but has the tables of another version than the backup's: name a new "
            "database, or an OPENLINEAR_HOME that does not exist yet."
        )


async def _rows(raw: tables.Connection, path: Path, manifest: Manifest, tell: Tell) -> None:
    """In the order of the file, which is that of what refers to what."""
    known = await tables.tables(raw)
    for member in members(path):
        if not member.name.startswith("tables/"):
            continue
        name = member.name.removeprefix("tables/")
        table = manifest.tables.get(name)
        if table is None or not set(table.columns) <= set(known.get(name, [])):
            raise damaged(f"this version knows no such table as its {name}")
        count = await tables.copy_in(raw, name, table, member.chunks())
        if count != table.rows:
            raise damaged(f"its table {name} has {count} rows instead of {table.rows}")
        tell(f"{name}: {count} rows")
    await tables.carry_on(raw, manifest.sequences)


async def _end_runs(connection: AsyncConnection, manifest: Manifest) -> int:
    reason = (
        f"This run was under way when the backup of {manifest.made_at:%Y-%m-%d %H:%M} UTC was made. Its "
        "sandbox is no part of a backup, so it ended there. Run the task again."
    )
    async with AsyncSession(connection, join_transaction_mode="create_savepoint") as session:
        ended = await engine.end_open_runs(session, reason, execution.ended)
        await session.commit()
    return ended


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.parent)
