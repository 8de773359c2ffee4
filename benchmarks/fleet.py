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
        self.workers: dict[int, subprocess.Popen[bytes]] = {}
        self._database = Database(self.settings.database_url)
        self._engine = Engine(self.settings)
        self._watch = psycopg.connect(self._database.libpq_url, autocommit=True)

    def start(self) -> int:
        """A new worker of a name of its own; its process id."""
        with self.log.open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker", f"bench-{uuid4().hex[:8]}"],
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        self.workers[worker.pid] = worker
        return worker.pid

    def kill(self, pid: int) -> None:
        worker = self.workers.pop(pid)
        worker.send_signal(signal.SIGKILL)
        worker.wait()

    async def enqueue(self, prompt: str, *, user: UUID, project: UUID) -> UUID:
        """A run for the workers, as the product starts it."""
        async with self._database.transaction() as session:
            return await self._engine.start(session, self._new(prompt, user, project), limit=10_000)

    async def add(self, prompt: str, *, user: UUID, project: UUID) -> UUID:
        """A run that is in no queue."""
        new = self._new(prompt, user, project)
        run = Run(**asdict(new), branch=f"openlinear/{new.task_id}")
        async with self._database.transaction() as session:
            session.add(run)
        return run.id

    def _new(self, prompt: str, user: UUID, project: UUID) -> NewRun:
        return NewRun(
            task_id=uuid4(),
            project_id=project,
            user_id=user,
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
