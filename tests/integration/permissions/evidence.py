"""What a call did to the database: which tables it wrote, and what it asked. Afterwards all is as before."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import event

from openlinear import db

COUNTED = ("public.attempts",)
"""Tries are counted whatever comes of them."""
Table = tuple[str, str]


class Evidence:
    """Compares and restores all tables, ours and DBOS's, row version by row version."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], tables: list[Table]) -> None:
        self._connection = connection
        self._tables = {f"{schema}.{name}": Identifier(schema, name) for schema, name in tables}
        self._columns: dict[str, tuple[list[str], list[str]]] = {}
        self._prints: dict[str, str] = {}
        self._numbered = ""

    async def begin(self) -> None:
        """What is there now is what every call begins with."""
        for (statement,) in await (await self._connection.execute(_REFERENCES)).fetchall():
            await self._connection.execute(statement)
        for name, keys, columns in await (await self._connection.execute(_COLUMNS)).fetchall():
            self._columns[name] = keys, columns
        await self._connection.execute("CREATE SCHEMA before")
        for name, table in self._tables.items():
            copy = SQL("CREATE TABLE {} AS TABLE {}").format(Identifier("before", name), table)
            await self._connection.execute(copy)
        self._prints, self._numbered = await self._read(), await self._transactions()

    async def written(self) -> frozenset[str]:
        """The tables that were written since the last time, now restored; `COUNTED` are not told."""
        if await self._transactions() == self._numbered:
            return frozenset()
        found = await self._read()
        changed = {name for name, seen in found.items() if seen != self._prints[name]}
        if changed:
            await self._restore(changed)
            self._prints = await self._read()
        self._numbered = await self._transactions()
        return frozenset(changed.difference(COUNTED))

    async def _transactions(self) -> str:
        """The numbers that transactions were given so far: one that writes or locks nothing gets none."""
        (seen,) = await (await self._connection.execute("SELECT pg_current_snapshot()::text")).fetchone() or (
            "",
        )
        return str(seen)

    async def _read(self) -> dict[str, str]:
        """A row that is written anew has a new `xmin`, whatever it says; a lock leaves it."""
        one = "SELECT {} AS name, md5(string_agg(concat(t.xmin, t::text), '' ORDER BY t.ctid)) FROM {} t"
        parts = [SQL(one).format(name, table) for name, table in self._tables.items()]
        rows = await self._connection.execute(SQL(" UNION ALL ").join(parts))
        return {name: seen or "" for name, seen in await rows.fetchall()}

    async def _restore(self, changed: set[str]) -> None:
        """What is new goes, what is gone or different is put back. References are checked at the end."""
        async with self._connection.transaction():
            await self._connection.execute("SET CONSTRAINTS ALL DEFERRED")
            for statement in (_GO, _BACK):
                for name in changed:
                    keys, columns = self._columns[name]
                    await self._connection.execute(
                        SQL(statement).format(
                            table=self._tables[name],
                            copy=Identifier("before", name),
                            keys=SQL(", ").join(map(Identifier, keys)),
                            values=SQL(", ").join(
                                SQL("{0} = EXCLUDED.{0}").format(Identifier(column)) for column in columns
                            ),
                        )
                    )


_GO = "DELETE FROM {table} WHERE ({keys}) NOT IN (SELECT {keys} FROM {copy})"
_BACK = "INSERT INTO {table} OVERRIDING SYSTEM VALUE TABLE {copy} ON CONFLICT ({keys}) DO UPDATE SET {values}"
_COLUMNS = """
SELECT n.nspname || '.' || c.relname,
       array_agg(a.attname ORDER BY a.attnum) FILTER (WHERE a.attnum = ANY (i.indkey)),
       array_agg(a.attname ORDER BY a.attnum)
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE i.indisprimary AND n.nspname IN ('public', 'dbos') GROUP BY 1
"""
"""The primary key of each table, and all its columns."""
_REFERENCES = """
SELECT format('ALTER TABLE %s ALTER CONSTRAINT %I DEFERRABLE', conrelid::regclass, conname)
FROM pg_constraint WHERE contype = 'f' AND NOT condeferrable
"""


@asynccontextmanager
async def evidence(url: str) -> AsyncIterator[Evidence]:
    plain = url.replace("postgresql+psycopg://", "postgresql://")
    query = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'dbos') ORDER BY 1, 2"
    async with await psycopg.AsyncConnection.connect(plain, autocommit=True) as connection:
        kept = Evidence(connection, await (await connection.execute(query)).fetchall())
        await kept.begin()
        yield kept


@contextmanager
def asked() -> Iterator[list[str]]:
    """The statements that the web process sends meanwhile, without their values."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    engine = db.engine().sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)
