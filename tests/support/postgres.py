"""A real PostgreSQL: one server for each test process, one fresh database for each test."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from openlinear.embedded import EmbeddedPostgres
from openlinear.migrate import migrate

FAST = {
    **{"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"},
    "autovacuum": "off",  # a worker of its own would hold a database that a test wants to drop
}


def _swap(url: str, name: str) -> str:
    """The same server's URL for another database."""
    return url.replace("@/openlinear?", f"@/{name}?")


def _plain(url: str) -> str:
    """The URL as libpq spells it, without SQLAlchemy's driver."""
    return url.replace("postgresql+psycopg://", "postgresql://")


def _run(url: str, statement: str) -> None:
    with psycopg.connect(_plain(url), autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[call-overload]


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of this test process's server (`postgresql+psycopg://…`, over a Unix socket)."""
    home = Path(tempfile.mkdtemp(prefix="openlinear-pg-", dir="/tmp"))
    server = EmbeddedPostgres(home, FAST)
    try:
        yield server.start()
    finally:
        server.stop()
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def migrated_template(postgres_url: str) -> str:
    """Name of a database with all tables, ours and DBOS's, to clone from."""
    _run(postgres_url, "CREATE DATABASE migrated")
    migrate(_swap(postgres_url, "migrated"))
    return "migrated"


def _fresh(postgres_url: str, template: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    _run(postgres_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield _swap(postgres_url, name)
    finally:
        _run(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(postgres_url: str, migrated_template: str) -> Iterator[str]:
    """URL of a fresh, migrated database, dropped afterwards with whatever is still connected."""
    yield from _fresh(postgres_url, migrated_template)


@pytest.fixture
def empty_database(postgres_url: str) -> Iterator[str]:
    """URL of a fresh database without any table."""
    yield from _fresh(postgres_url, "template0")
