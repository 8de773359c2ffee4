"""The embedded PostgreSQL: it recovers, it is private, it says what is wrong."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from openlinear.embedded import EmbeddedPostgres
from openlinear.errors import StartError
from tests.support.needs import require


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="openlinear-db-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def server(home: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(home, {"fsync": "off"})
    yield server
    server.stop()


def ask(url: str, query: str) -> object:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[call-overload]
        return row[0] if row else None


def test_it_listens_on_its_socket_alone(server: EmbeddedPostgres) -> None:
    url = server.start()
    assert ask(url, "SHOW listen_addresses") == ""
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    assert [c for c in process.net_connections(kind="inet") if c.status == psutil.CONN_LISTEN] == []
    assert server.socket.stat().st_mode & 0o777 == 0o700
    assert server.data.stat().st_mode & 0o077 == 0


def test_the_product_is_no_superuser(server: EmbeddedPostgres) -> None:
    assert ask(server.start(), "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False


def test_nobody_else_gets_in(server: EmbeddedPostgres) -> None:
    require(os.geteuid() == 0, "root", "run the tests as root to act as another user")
    server.start()
    attempt = (
        "import os, sys; sys.path[:] = " + repr(sys.path) + "\n"
        "import psycopg\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "for user in ('openlinear', 'postgres'):\n"
        "    try:\n"
        f"        psycopg.connect(host={str(server.socket)!r}, user=user, dbname='openlinear')\n"
        "    except psycopg.OperationalError as error:\n"
        "        print('refused:', error)\n"
        "    else:\n"
        "        print('let in')\n"
    )
    done = subprocess.run([sys.executable, "-c", attempt], capture_output=True, text=True, check=True)
    assert done.stdout.count("refused:") == 2
    assert "let in" not in done.stdout
    # Nor where they reach the socket: the server itself asks the kernel who is there.
    server.socket.chmod(0o777)
    (server.folder).chmod(0o777)
    (server.socket / ".s.PGSQL.5432").chmod(0o777)
    done = subprocess.run([sys.executable, "-c", attempt], capture_output=True, text=True, check=True)
    assert done.stdout.count("Peer authentication failed") == 2, done.stdout


def test_starting_what_runs_is_no_error_and_keeps_the_server(home: Path, server: EmbeddedPostgres) -> None:
    url = server.start()
    other = EmbeddedPostgres(home)
    assert other.running()
    assert other.start() == url
    assert other.process is None
    server.stop()
    assert not other.running()
    server.stop()  # already gone is fine


def test_data_survives_a_crash(server: EmbeddedPostgres) -> None:
    url = server.start()
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    assert server.process is not None
    psutil.Process(server.process.pid).send_signal(signal.SIGKILL)
    server.process.wait()
    assert (server.data / "postmaster.pid").exists()
    assert ask(server.start(), "SELECT answer FROM kept") == 42


def test_a_pid_file_that_names_another_program_is_cleared(server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    stale = server.data / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{server.data}\n0\n5432\n{server.socket}\n\n0 0\nready\n")
    assert not server.running()
    assert ask(server.start(), "SELECT 1") == 1
    assert psutil.pid_exists(os.getpid())


def test_an_interrupted_creation_is_begun_anew(home: Path, server: EmbeddedPostgres) -> None:
    (home / "postgres" / "part").mkdir(parents=True)
    (home / "postgres" / "part" / "half").write_text("")
    assert ask(server.start(), "SELECT 1") == 1


def test_a_long_home_gets_a_short_private_socket(home: Path) -> None:
    home.chmod(0o711)
    server = EmbeddedPostgres(home / ("deep" * 20) / ("folder" * 10), {"fsync": "off"})
    url = server.start()
    try:
        assert ask(url, "SELECT 1") == 1
        assert not server.socket.is_relative_to(home)
        assert server.socket.stat().st_mode & 0o777 == 0o700
    finally:
        server.stop()
        shutil.rmtree(server.socket)


def test_a_socket_folder_that_somebody_else_laid_is_refused(home: Path) -> None:
    require(os.geteuid() == 0, "root", "run the tests as root to act as another user")
    server = EmbeddedPostgres(home / ("deep" * 20) / ("folder" * 10))
    server.socket.mkdir()
    os.chown(server.socket, 65534, 65534)
    try:
        with pytest.raises(StartError, match="belongs to somebody else"):
            server.start()
    finally:
        server.socket.rmdir()


def test_it_says_in_one_line_why_it_does_not_start(home: Path) -> None:
    server = EmbeddedPostgres(home, {"shared_buffers": "nonsense"})
    with pytest.raises(StartError, match=r"did not start.*shared_buffers") as raised:
        server.start()
    assert "\n" not in str(raised.value)
    assert not server.running()


def test_a_home_closed_to_its_user_is_said_with_the_cure(home: Path) -> None:
    require(os.geteuid() == 0, "root", "run the tests as root: only then it runs as another user")
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(StartError, match="OPENLINEAR_HOME"):
        EmbeddedPostgres(closed / "home").start()
    assert closed.stat().st_mode & 0o777 == 0o700  # nothing above the home is opened up


def test_it_dies_with_its_parent(home: Path) -> None:
    program = (
        f"import os; from pathlib import Path; from openlinear.embedded import EmbeddedPostgres\n"
        f"server = EmbeddedPostgres(Path({str(home)!r}), {{'fsync': 'off'}}); server.start()\n"
        f"print(server.process.pid, flush=True); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    pid = int(done.stdout)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie":
        assert time.monotonic() < deadline
        time.sleep(0.05)
