"""`openlinear backup`: the whole state of an installation, of one moment, while it runs or not."""

import asyncio
import io
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from engine import backup as engine
from openlinear import vault
from openlinear.backup import tables
from openlinear.backup.archive import Writer
from openlinear.backup.files import KEPT, Tell
from openlinear.backup.manifest import Manifest, Table
from openlinear.errors import StartError
from openlinear.migrate import LOCK, WAIT_SECONDS
from openlinear.resources import installed
from openlinear.settings import Settings
from openlinear.whole import whole


async def make_backup(
    settings: Settings, url: str, secret: str, target: Path, *, with_mirrors: bool, tell: Tell
) -> Manifest:
    """Write a backup to `target`, which is there whole at the end or not at all.

    Rows first, then files: what a row names is there. StartError when it cannot be made.
    """
    with whole(target) as file:
        writer = Writer(file)
        manifest = await _rows(url, writer, target.parent, tell)
        await _repositories(settings, writer, target.parent, with_mirrors, tell)
        _kept(settings.openlinear_home / KEPT, writer, tell)
        manifest.entries = writer.entries
        manifest.sandbox = _sandbox(settings)
        manifest.key_checks = vault.checks(secret)
        first = vault.parts(secret)[0]
        writer.finish(manifest, lambda said: vault.signature(first, said))
    return manifest


async def _rows(url: str, writer: Writer, folder: Path, tell: Tell) -> Manifest:
    """Every table, in one snapshot."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await _unmigrated(connection)
        await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        await connection.set_read_only(True)
        await tables.same_text(connection)
        revisions = await tables.revisions(connection)
        if not revisions:
            raise StartError("The database holds no tables of OpenLinear yet: there is nothing to back up.")
        made_at = datetime.now(UTC)
        copied: dict[str, Table] = {}
        for name, columns in (await tables.tables(connection)).items():
            with tempfile.TemporaryFile(dir=folder) as rows:
                count = await tables.copy_out(connection, name, columns, rows)
                tell(f"{name}: {count} rows")
                writer.add(f"tables/{name}", rows)
            copied[name] = Table(columns=columns, rows=count)
        return Manifest(
            version=installed(),
            made_at=made_at,
            revisions=revisions,
            sandbox=None,
            key_checks=[],
            sealed=await tables.sealed(connection, copied),
            tables=copied,
            sequences=await tables.sequences(connection),
            entries={},
        )


async def _unmigrated(connection: tables.Connection) -> None:
    """Have the tables stay as they are until the connection closes: migrations wait for this lock.

    It asks again and again, as `openlinear.migrate.locked` does and for its reason.
    """
    while not await tables.value(connection, "SELECT pg_try_advisory_lock_shared(%s)", LOCK):
        await connection.rollback()
        await asyncio.sleep(WAIT_SECONDS)
    await connection.commit()


async def _repositories(
    settings: Settings, writer: Writer, folder: Path, with_mirrors: bool, tell: Tell
) -> None:
    for repository in engine.repositories(settings, with_mirrors=with_mirrors):
        tell(f"repository {repository.name}")
        with tempfile.TemporaryDirectory(dir=folder, prefix=".openlinear-backup-") as scratch:
            pack, refs = await engine.pack(settings, repository, Path(scratch))
            writer.add(f"{repository.name}.refs", io.BytesIO(refs))
            if pack is not None:
                with pack.open("rb") as content:
                    writer.add(f"{repository.name}.pack", content)


def _kept(folder: Path, writer: Writer, tell: Tell) -> None:
    """Work of runs that could not be pushed. Its folders are renamed into place and go as a whole."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.startswith(".") or path.is_symlink() or not path.is_file():
            continue  # under way, or none of ours
        try:
            content = path.open("rb")
        except FileNotFoundError:
            continue  # its time was over
        with content:
            tell(f"kept work {name}")
            writer.add(f"{KEPT}/{name}", content)


def _sandbox(settings: Settings) -> str | None:
    if settings.sandbox != "auto":
        return settings.sandbox
    try:
        return str(json.loads((settings.openlinear_home / "sandbox.json").read_text())["sandbox"])
    except (OSError, ValueError, KeyError):
        return None
