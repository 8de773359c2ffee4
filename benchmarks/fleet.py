"""Worker processes of the engine on one database, and runs for them."""

import os
import secrets
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg

from benchmarks.idle import PROJECTS, USER
from engine.client import Engine, NewRun
from engine.db import Database
from engine.models import Run
from engine.settings import EngineSettings


class Fleet:
    """Starts workers of parts that do nothing, and kills them. `settings` are environment variables."""

    def __init__(self, url: str, home: Path, settings: dict[str, str]) -> None:
        self.environment = {
            **os.environ,
            "DATABASE_URL": url,
            "OPENLINEAR_HOME": str(home),
            "OPENLINEAR_SECRET_KEY": secrets.token_hex(32),
            **settings,
        }
        self.settings = EngineSettings.model_validate(
            {name.lower(): value for name, value in self.environment.items()}
        )
        self.log = home / "workers.log"
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        """By name."""
        self._database = Database(self.settings.database_url)
        self._engine = Engine(self.settings)
        self._watch = psycopg.connect(self._database.libpq_url, autocommit=True)

    def start(self) -> subprocess.Popen[bytes]:
        """A new worker of a name of its own."""
        name = f"bench-{uuid4().hex[:8]}"
        with self.log.open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker", name],
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        self.workers[name] = worker
        return worker

    def kill(self, name: str) -> None:
        worker = self.workers.pop(name)
        worker.send_signal(signal.SIGKILL)
        worker.wait()

    async def enqueue(self, prompt: str, project: UUID = PROJECTS[0]) -> UUID:
        """A run for the workers, as the product starts it."""
        async with self._database.transaction() as session:
            return await self._engine.start(session, self._new(prompt, project), limit=10_000)

    async def add(self, prompt: str) -> UUID:
        """A run that is in no queue."""
        new = self._new(prompt, PROJECTS[0])
        run = Run(**asdict(new), branch=f"openlinear/{new.task_id}")
        async with self._database.transaction() as session:
            session.add(run)
        return run.id

    def _new(self, prompt: str, project: UUID) -> NewRun:
        return NewRun(
            task_id=uuid4(),
            project_id=project,
            user_id=USER,
            title="Idle",
            prompt=prompt,
            agent="idle",
            model="idle/idle",
            author_name="Ada Lovelace",
            author_email="ada@example.org",
            base_branch="main",
        )

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._watch.execute(query, values).fetchall()

    async def close(self) -> None:
        for worker in self.workers.values():
            worker.kill()
        for worker in self.workers.values():
            worker.wait()
        self._watch.close()
        await self._engine.close()
        await self._database.close()
