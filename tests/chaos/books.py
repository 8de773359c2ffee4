"""What the database says, read over a connection that survives the database."""

import asyncio
import time
from collections.abc import Collection
from typing import Any

import psycopg

Row = tuple[Any, ...]
GATE = 4242
"""The advisory lock that a run waits for before its step is checkpointed, while it is held here."""

TRIGGER = f"""
CREATE SCHEMA IF NOT EXISTS chaos;
CREATE TABLE IF NOT EXISTS chaos.armed (step text);
CREATE OR REPLACE FUNCTION chaos.gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM chaos.armed WHERE step = NEW.function_name) THEN
        PERFORM set_config('application_name', NEW.function_name || ' of ' || NEW.workflow_uuid, true);
        PERFORM pg_advisory_xact_lock_shared({GATE});
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER chaos_gate BEFORE INSERT ON dbos.operation_outputs
    FOR EACH ROW EXECUTE FUNCTION chaos.gate();
"""


class Books:
    def __init__(self, url: str) -> None:
        self._url = url.replace("postgresql+psycopg://", "postgresql://")
        self._connection: psycopg.AsyncConnection | None = None
        self._connecting = asyncio.Lock()
        """One connection at a time: of two, the gate's lock would be on the one that is forgotten."""

    async def rows(self, query: str, *values: Any, patience: float = 60.0) -> list[Row]:
        """Asked again, on a new connection, until the database answers."""
        deadline = time.monotonic() + patience
        while True:
            connection = None
            try:
                connection = await self._connected()
                cursor = await connection.execute(query, values or None)
                return await cursor.fetchall() if cursor.description else []
            except psycopg.OperationalError:
                await self._forget(connection)
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)

    async def _connected(self) -> psycopg.AsyncConnection:
        async with self._connecting:
            if self._connection is None:
                self._connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
            return self._connection

    async def _forget(self, connection: psycopg.AsyncConnection | None) -> None:
        """The database went away under it. Somebody else may have made a new one by now."""
        if connection is not None:
            await connection.close()
            if self._connection is connection:
                self._connection = None

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    # -- the gate before a checkpoint -------------------------------------------------------------

    async def arm(self, steps: Collection[str]) -> None:
        """Hold every run that is about to have one of these steps recorded."""
        if steps:
            await self.rows("SELECT pg_advisory_lock(%s)", GATE)
            await self.rows("INSERT INTO chaos.armed SELECT unnest(%s::text[])", list(steps))

    async def at_gate(self) -> tuple[str, str] | None:
        """A step, and the run that has done its work and waits to have it recorded."""
        query = (
            "SELECT split_part(application_name, ' of ', 1), split_part(application_name, ' of ', 2)"
            " FROM pg_stat_activity WHERE wait_event = 'advisory' AND application_name LIKE '% of %' LIMIT 1"
        )
        return _step(await self.rows(query))

    async def last_recorded(self) -> int:
        """When a step was last recorded, for `recorded`."""
        query = "SELECT COALESCE(MAX(completed_at_epoch_ms), 0) FROM dbos.operation_outputs"
        return int((await self.rows(query))[0][0])

    async def recorded(self, steps: Collection[str], since: int) -> tuple[str, str] | None:
        """One of these steps, and the run of which it was recorded just now."""
        query = (
            "SELECT function_name, workflow_uuid FROM dbos.operation_outputs"
            " WHERE function_name = ANY(%s) AND completed_at_epoch_ms > %s"
            " ORDER BY completed_at_epoch_ms DESC LIMIT 1"
        )
        return _step(await self.rows(query, list(steps), since))

    async def disarm(self) -> None:
        """Let pass. After the database's own death there is no lock any more, only the wish for one."""
        await self.rows("DELETE FROM chaos.armed")
        await self.rows("SELECT pg_advisory_unlock_all()")


def _step(rows: list[Row]) -> tuple[str, str] | None:
    """A step, and the run or batch of its workflow, whose id is `{id}` or `{id}:{how-manieth}`."""
    return (str(rows[0][0]), str(rows[0][1]).partition(":")[0]) if rows else None
