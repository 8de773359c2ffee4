"""The supervisor: all of OpenLinear on one machine, from nothing to a board, and back to nothing.

One thread and one loop: it starts a database, brings its tables up to date, builds the frontend
when its sources changed, and keeps a web process and an engine alive until it is told to stop.
"""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import FrameType
from typing import NoReturn

from openlinear import firstlink, frontend, processes, schema
from openlinear.embedded import EmbeddedPostgres
from openlinear.errors import StartError
from openlinear.onlyone import only_one
from openlinear.say import Say
from openlinear.secrets import ensure_secrets
from openlinear.service import Service
from openlinear.settings import Settings

POLL_SECONDS = 0.1
READY_SECONDS = 60.0
LATE_SECONDS = 15.0
"""How long the page may wait for the engine's first sign of life before the start goes on without."""
TRIES = 3
"""How often the web server may die before it first answers: then the start has failed."""
FAREWELLS = {"web server": (signal.SIGTERM, 2.0), "engine": (signal.SIGINT, 7.0)}
"""How each is asked to end, and its seconds. To the engine, SIGINT means that it all ends: it parks
the sandboxes first."""


class Stopped(BaseException):
    """Somebody asked us to stop: Ctrl-C, SIGTERM or a closed terminal."""


class Up:
    """One installation, running. `run` returns when it was told to stop and nothing is left."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self.home = settings.openlinear_home.expanduser().absolute()
        self.settings = settings.model_copy(update={"openlinear_home": self.home})
        self.say = say
        self.env = dict(os.environ) | {"OPENLINEAR_HOME": str(self.home)}
        self.database: EmbeddedPostgres | None = None
        self.services: list[Service] = []
        self.sandbox: subprocess.Popen[bytes] | None = None
        self.began = time.monotonic()

    def run(self) -> None:
        """Raises StartError when it cannot start; what it did start is stopped by then."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _raise_stopped)
        with only_one(self.home, self.settings.public_url):
            try:
                self._start()
                self._watch()
            except Stopped:
                self.say.line("Stopping.")
            finally:
                self._stop()

    # -- start ----------------------------------------------------------------------------------

    def _start(self) -> None:
        _port_is_free(self.settings.api_host, self.settings.api_port)
        self.env |= ensure_secrets(self.home, self.env)
        self.env["DATABASE_URL"] = self.settings.database_url or self._start_database()
        if not schema.current(self.env["DATABASE_URL"]):
            with self.say.step("Bringing the database up to date"):
                self._migrate()
        if not frontend.current():
            with self.say.step("Building the pages (a minute or two, at the first start only)") as tell:
                frontend.build(tell)
        commands = {
            "web server": processes.web(self.settings, self.env),
            "engine": processes.worker(self.env),
        }
        for name, command in commands.items():
            log = self._log(name.split()[0])
            self.services.append(Service(name, command, log, self.say.line, FAREWELLS[name]))
        with self.say.step("Starting the web server and the engine"):
            self._wait_ready()
        self.say.line(
            f"OpenLinear is ready after {time.monotonic() - self.began:.1f} s: {self.settings.public_url} "
            "(Ctrl-C stops it)"
        )
        if firstlink.wanted(self.env["DATABASE_URL"]):
            link = firstlink.address(self.settings.public_url, self.env["JWT_SECRET"])
            self.say.line(f"There is no administrator yet. Become it, once signed in: {link}")
        self._prepare_sandbox()

    def _start_database(self) -> str:
        database = EmbeddedPostgres(self.home)
        first = not database.data.exists()
        self.database = database
        with self.say.step("Creating the database" if first else "Starting the database"):
            return database.start()

    def _migrate(self) -> None:
        command = processes.migration(self.env)
        log = self._log("migrate")
        with log.open("wb") as output:
            process = command.start(output, on_orphan=signal.SIGKILL)
        try:
            code = process.wait()
        finally:
            process.kill()
        if code:
            raise StartError(f"{_last_line(log) or 'The database could not be migrated.'} (see {log})")

    def _wait_ready(self) -> None:
        """Until the page answers and the engine gives a sign of life. The board runs without one, too."""
        web, engine = self.services
        began = time.monotonic()
        while True:
            self._tend()
            waited = time.monotonic() - began
            status = _health(self.settings)
            if status == 200:
                return
            if status is not None and waited > LATE_SECONDS:
                self.say.line(f"The engine does not answer yet: {engine.last_words()} (see {engine.log})")
                return
            if web.deaths >= TRIES or waited > READY_SECONDS:
                raise StartError(f"The web server does not start: {web.last_words()} (see {web.log})")
            time.sleep(POLL_SECONDS)

    def _prepare_sandbox(self) -> None:
        """Beside the running board: the first image takes minutes, and nobody should wait for it."""
        command = processes.sandbox(self.env)
        with self._log("sandbox").open("wb") as output:
            self.sandbox = command.start(output, on_orphan=signal.SIGKILL)

    # -- run ------------------------------------------------------------------------------------

    def _watch(self) -> NoReturn:
        log = self._log("sandbox")
        with log.open(errors="replace") as news:
            while True:
                self._tend()
                for line in news:
                    self.say.line(f"Agents' sandbox: {line.strip()}")
                if self.sandbox is not None and self.sandbox.poll() is not None:
                    self.sandbox = None
                time.sleep(POLL_SECONDS)

    def _tend(self) -> None:
        for service in self.services:
            service.tend()

    # -- stop -----------------------------------------------------------------------------------

    def _stop(self) -> None:
        """Newest first, the database last; a second Ctrl-C does not leave half of it behind."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        began = time.monotonic()
        if self.sandbox is not None:
            os.killpg(self.sandbox.pid, signal.SIGKILL)
            self.sandbox.wait()
        for service in self.services:
            service.stop()
        if self.database is not None:
            self.database.stop()
        if self.services:
            self.say.line(f"Stopped in {time.monotonic() - began:.1f} s; nothing is left running.")

    def _log(self, name: str) -> Path:
        folder = self.home / "logs"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / f"{name}.log"


def _raise_stopped(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped


def _port_is_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StartError(
                f"Port {port} on {host} cannot be used ({error.strerror}): "
                f"stop what uses it, or choose another, as in `API_PORT={port + 1}`."
            ) from None


def _health(settings: Settings) -> int | None:
    """The status /health answers with; None while nothing answers."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.api_host, settings.api_host)  # noqa: S104
    try:
        with urllib.request.urlopen(f"http://{host}:{settings.api_port}/health", timeout=2) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
