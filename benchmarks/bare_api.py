"""A bare FastAPI server: the same rows read and written by one statement each, and nothing around them.

It checks no login and no permission, tells nobody and keeps no history: what these cost is the ratio.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from fastapi import FastAPI, Request
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from openlinear.db import OVERFLOW, POOL

LIST = text(
    """
    SELECT t.*, p.key FROM tasks t JOIN projects p ON p.id = t.project_id
    WHERE t.project_id = :project AND NOT t.archived ORDER BY t.created_at DESC, t.id DESC LIMIT 51
    """
)
MOVE = text("UPDATE tasks SET status = :status, version = version + 1 WHERE id = :task RETURNING *")


class Move(BaseModel):
    status: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=POOL, max_overflow=OVERFLOW)
    yield
    await app.state.engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.get("/api/tasks")
async def tasks(request: Request, projectId: UUID) -> list[dict[str, Any]]:
    async with request.app.state.engine.connect() as connection:
        return [dict(row) for row in (await connection.execute(LIST, {"project": projectId})).mappings()]


@app.patch("/api/tasks/{task_id}")
async def move(request: Request, task_id: UUID, body: Move) -> dict[str, Any]:
    async with request.app.state.engine.begin() as connection:
        row = (await connection.execute(MOVE, {"task": task_id, "status": body.status})).mappings().one()
        return dict(row)
