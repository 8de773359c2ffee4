"""Whether this installation can work, for supervisors and probes."""

import logging

from fastapi import APIRouter, Response
from sqlalchemy.exc import SQLAlchemyError

from openlinear import db
from openlinear.api.shapes import Shape
from openlinear.engine_client import engine_client
from openlinear.resources import installed

log = logging.getLogger(__name__)
router = APIRouter(tags=["health"])


class Health(Shape):
    status: str
    """`ok`, or `away` when the database or every engine worker is."""
    version: str
    database: str
    engine: str
    sandbox: str
    """`docker`, `process`, `bare` (`process` without bubblewrap), or empty while no worker lives."""


@router.head("/health", include_in_schema=False)
@router.get("/health", responses={503: {"model": Health}})
async def health(response: Response) -> Health:
    database, engine, sandbox = "away", "away", ""
    try:
        async with db.transaction() as session:
            found = await engine_client().health(session)
        database, engine, sandbox = "ok", "ok" if found.workers else "away", found.sandbox
    except (SQLAlchemyError, OSError) as error:
        log.warning("the database does not answer: %s", type(error).__name__)
    well = database == engine == "ok"
    response.status_code = 200 if well else 503
    return Health(
        status="ok" if well else "away",
        version=installed(),
        database=database,
        engine=engine,
        sandbox=sandbox,
    )
