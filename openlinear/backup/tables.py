"""Rows as text, between servers of any version: COPY in one snapshot, table by table.

PostgreSQL's own dump is bound to its version (that of 18 writes what 15 refuses); our migrations make
the tables on any, and COPY's text is the same in all.
"""

from collections.abc import Iterable, Iterator, Mapping
from graphlib import TopologicalSorter
from typing import IO, Any

import psycopg
from psycopg.sql import SQL, Identifier

from openlinear.backup.manifest import Table
from openlinear.sealed import SEALED

Connection = psycopg.AsyncConnection[Any]

_OF_THE_MACHINE = (
    "workers",
    "web_processes",
    "containers",
    "leases",
    "next_runs",
    "findings",
    "storage_reports",
)
_OF_THE_MOMENT = (
    *("auth_sessions", "access_tokens", "one_time_links"),
    *("attempts", "team_invitations", "metric_totals", "idempotency_keys"),
    *("provider_sign_ins", "webhook_deliveries"),
)
LEFT_OUT = ("alembic_version", *_OF_THE_MACHINE, *_OF_THE_MOMENT)
"""What does not move: processes, sandboxes and what was found out about a disk; who is logged in (a login
or token that was ended since must not come back) or was invited (nor an invitation), tries, what was
counted, and what webhooks were told (or they are told again)."""
NUMBERS_SKIPPED = 1_000_000
"""News made after the backup had numbers too, which readers may remember: they are not given again."""

_TABLES = """
SELECT c.relname::text, array_agg(a.attname::text ORDER BY a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname <> ALL(%s)
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
GROUP BY c.relname ORDER BY c.relname
"""
_REFERENCES = """
SELECT DISTINCT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint
WHERE contype = 'f' AND connamespace = current_schema()::regnamespace AND conrelid <> confrelid
"""
_SEQUENCES = "SELECT sequencename::text, last_value FROM pg_sequences WHERE schemaname = current_schema()"
_SAME_TEXT = ("client_encoding TO 'UTF8'", "datestyle TO 'ISO, YMD'", "timezone TO 'UTC'")
_STATEMENTS = {"out": "COPY {} ({}) TO STDOUT", "in": "COPY {} ({}) FROM STDIN"}


async def same_text(connection: Connection) -> None:
    """Have both ends write times and letters the same way, until the transaction ends."""
    for setting in _SAME_TEXT:
        await connection.execute(SQL("SET LOCAL " + setting))


async def tables(connection: Connection) -> dict[str, list[str]]:
    """The tables that a backup holds, with their columns; each after those that its rows refer to."""
    found = dict(await (await connection.execute(_TABLES, [list(LEFT_OUT)])).fetchall())
    after: dict[str, set[str]] = {name: set() for name in found}
    for table, other in await (await connection.execute(_REFERENCES)).fetchall():
        if table in found and other in found:
            after[table].add(other)
    return {name: found[name] for name in TopologicalSorter(after).static_order()}


async def revisions(connection: Connection) -> list[str]:
    """Where the tables' migrations stand; empty where there are none."""
    if not await value(connection, "SELECT to_regclass('alembic_version') IS NOT NULL"):
        return []
    rows = await (await connection.execute("SELECT version_num FROM alembic_version ORDER BY 1")).fetchall()
    return [row[0] for row in rows]


async def sequences(connection: Connection) -> dict[str, int]:
    """The last number that each has given. They know no snapshot: ask after the rows are copied."""
    rows = await (await connection.execute(_SEQUENCES)).fetchall()
    return {name: last for name, last in rows if last is not None}


async def sealed(connection: Connection, known: Iterable[str]) -> int:
    """How many secrets there are."""
    count = 0
    for one in SEALED:
        if one.table in known:
            query = SQL("SELECT count({}) FROM {}").format(Identifier(one.column), Identifier(one.table))
            count += await value(connection, query)
    return count


async def copy_out(connection: Connection, name: str, columns: list[str], file: IO[bytes]) -> int:
    """Write all rows to `file`; how many there were."""
    async with connection.cursor() as cursor:
        async with cursor.copy(_copy("out", name, columns)) as rows:
            async for chunk in rows:
                file.write(chunk)
        return cursor.rowcount


async def copy_in(connection: Connection, name: str, table: Table, chunks: Iterator[bytes]) -> int:
    """Read all rows; how many there were. No trigger of ours tells anybody."""
    triggers = SQL("ALTER TABLE {} {} TRIGGER USER")
    await connection.execute(triggers.format(Identifier(name), SQL("DISABLE")))
    async with connection.cursor() as cursor:
        async with cursor.copy(_copy("in", name, table.columns)) as rows:
            for chunk in chunks:
                await rows.write(chunk)
        count = cursor.rowcount
    await connection.execute(triggers.format(Identifier(name), SQL("ENABLE")))
    return count


async def carry_on(connection: Connection, wanted: Mapping[str, int]) -> None:
    """Have the sequences go on behind every number that was given."""
    known = await (await connection.execute(_SEQUENCES)).fetchall()
    for name, _ in known:
        if name in wanted:
            number = wanted[name] + NUMBERS_SKIPPED
            await connection.execute("SELECT setval(%s::regclass, %s)", [name, number])


async def value(connection: Connection, query: Any, *arguments: Any) -> Any:
    """The one value that a query answers with."""
    row = await (await connection.execute(query, arguments or None)).fetchone()
    return row[0] if row else None


def _copy(way: str, name: str, columns: Iterable[str]) -> Any:
    listed = SQL(", ").join(map(Identifier, columns))
    return SQL(_STATEMENTS[way]).format(Identifier(name), listed)
