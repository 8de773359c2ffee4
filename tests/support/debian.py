"""PostgreSQL as Debian packages it: another major version than the embedded one, over TCP with a password."""

import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from openlinear.account import account
from tests.support.needs import require
from tests.support.postgres import FAST
from tests.support.stack import free_port

INSTALLED = Path("/usr/lib/postgresql")
EMBEDDED_MAJOR = 18
PASSWORD = "in the suite alone"


def _programs() -> Path | None:
    """The newest installed server that is not of the embedded one's version."""
    majors = [int(path.parents[1].name) for path in INSTALLED.glob("*/bin/initdb")]
    others = sorted(major for major in majors if major != EMBEDDED_MAJOR)
    return INSTALLED / str(others[-1]) / "bin" if others else None


@pytest.fixture(scope="session")
def debian_postgres() -> Iterator[str]:
    """URL of a new server of Debian's, without a database's name."""
    programs = _programs()
    require(programs is not None, "PostgreSQL of another version than 18", "apt-get install postgresql")
    assert programs is not None
    folder = Path(tempfile.mkdtemp(prefix="openlinear-debian-", dir="/tmp"))
    uid, gid = account() if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(folder, uid, gid)
    who = {"user": uid, "group": gid, "extra_groups": []} if os.geteuid() == 0 else {}
    password = folder / "password"
    password.write_text(PASSWORD)
    os.chown(password, uid, gid)
    data, port = folder / "data", free_port()
    making = [programs / "initdb", "-D", data, "-U", "board", "--auth=scram-sha-256", f"--pwfile={password}"]
    subprocess.run(
        [*making, "--encoding=UTF8", "--locale=C"], check=True, capture_output=True, cwd="/", **who
    )
    options = [part for name, value in FAST.items() for part in ("-c", f"{name}={value}")]
    server = subprocess.Popen(
        [programs / "postgres", "-D", data, "-p", str(port), "-k", folder, *options],
        stdout=subprocess.DEVNULL,
        stderr=(folder / "log").open("wb"),
        cwd="/",
        **who,  # type: ignore[call-overload]
    )
    url = f"postgresql://board:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{port}/"
    try:
        _wait(url + "postgres", folder / "log")
        yield url
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(folder)


@pytest.fixture
def debian_database(debian_postgres: str) -> Iterator[str]:
    """URL of an empty database on it."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(debian_postgres + "postgres", autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        try:
            yield debian_postgres + name
        finally:
            connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


def _wait(url: str, log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
