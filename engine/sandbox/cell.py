"""How one user's processes see this machine: through bubblewrap, or (without it) as it is."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from uuid import UUID

from engine.sandbox import opencode
from engine.settings import EngineSettings

UID = 10001
"""Whom processes run as where the engine is root; as in the worker image."""
BOX = "OPENLINEAR_BOX"
"""Environment variable that every process of a user's sandbox, or of a trial's, carries and hands on."""
_INSIDE_HOME = PurePosixPath("/home/opencode")
_INSIDE_LIBRARY = PurePosixPath("/run/opencode")
_INSIDE_BINARY = PurePosixPath("/run/opencode-server")
_INSIDE_OBJECTS = PurePosixPath("/run/objects")
_PASSED_ON = (
    *("LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
"""All that is taken from the engine's environment; everything else in it may be a secret."""
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")


def bubblewrap() -> str | None:
    """Path of a `bwrap` that works here. Some systems forbid user namespaces to ordinary users."""
    path = shutil.which("bwrap")
    if path is None:
        return None
    probe = [path, "--ro-bind", "/", "/", "--unshare-pid", "--proc", "/proc", "true"]
    done = subprocess.run(probe, capture_output=True, check=False, timeout=10)
    return path if done.returncode == 0 else None


@dataclass(frozen=True, slots=True)
class Cell:
    """One user's folders on the host, and the same as their processes see them."""

    settings: EngineSettings
    user_id: UUID
    bwrap: str | None
    trial: str = ""
    """The name of a trial's folder (see `process_trial`), where this is not the user's own cell: without an
    agent server, and with the objects of the trial's project alone."""

    @property
    def folder(self) -> Path:
        """What the engine keeps about it; its processes see `home` and `tmp` alone."""
        home = self.settings.openlinear_home.absolute()
        return home / "trials" / self.trial if self.trial else home / "sandbox" / str(self.user_id)

    @property
    def host_home(self) -> Path:
        return self.folder / "home"

    @property
    def shared(self) -> Path:
        return self.settings.repos.absolute() / "users" / str(self.user_id) / "objects"

    @property
    def _lent(self) -> str:
        """Which part of the shared objects is seen: in a user's own cell, all."""
        return self.trial.split(".")[1] if self.trial else ""

    @property
    def home(self) -> PurePosixPath:
        return _INSIDE_HOME if self.bwrap else PurePosixPath(self.host_home)

    @property
    def repos(self) -> PurePosixPath:
        return self.home / "repos"

    @property
    def objects(self) -> PurePosixPath:
        return _INSIDE_OBJECTS if self.bwrap else PurePosixPath(self.shared)

    @property
    def library(self) -> PurePosixPath:
        return _INSIDE_LIBRARY if self.bwrap else PurePosixPath(opencode.library(self.settings))

    @property
    def marker(self) -> bytes:
        return f"{BOX}={self._id}".encode()

    @property
    def _id(self) -> str:
        return self.trial or str(self.user_id)

    def make(self) -> None:
        """Make the folders. Whatever lies in `home` and `tmp` is made from inside: were it made from here,
        a link planted there would lead the engine, which may be root, to any place.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.shared / self._lent).mkdir(parents=True, exist_ok=True)
        for path in (self.host_home, self.folder / "tmp"):
            path.mkdir(exist_ok=True, mode=0o700)
            if self.drops_root:
                os.chown(path, UID, UID)

    @property
    def drops_root(self) -> bool:
        """Only behind bubblewrap: outside it, another user could not reach folders under root's home."""
        return self.bwrap is not None and os.geteuid() == 0

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return {
            "LANG": "C.UTF-8",
            **kept,
            "HOME": str(self.home),
            "TMPDIR": "/tmp" if self.bwrap else str(self.folder / "tmp"),  # noqa: S108 (its own)
            "PATH": f"{self.library}/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
            "SHELL": "/bin/bash",
            **({} if self.trial else self._server_environment()),
            BOX: self._id,
            **(extra or {}),
        }

    def argv(self, command: Sequence[str], cwd: PurePosixPath) -> list[str]:
        """The command line that runs `command` in this view. Without bubblewrap, the command itself."""
        if self.bwrap is None:
            return list(command)
        drop = ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups", "--no-new-privs"]
        drop += ["--inh-caps=-all", "--bounding-set=-all"]
        return [
            *(self.bwrap, *self._mounts(), "--unshare-pid", "--unshare-ipc", "--chdir", str(cwd)),
            # An agent outlives the engine's process, a trial does not: what it left running goes at once.
            *(("--die-with-parent", "--") if self.trial else ("--",)),
            *(drop if self.drops_root else ()),
            *command,
        ]

    def _mounts(self) -> list[str]:
        """A read-only system without anybody's home; the user's own folders; a private /tmp."""
        mounts = ["--ro-bind", "/usr", "/usr", "--ro-bind", "/etc", "/etc"]
        for path in map(Path, _SYSTEM):
            if path.is_symlink():
                mounts += ["--symlink", str(path.readlink()), str(path)]
            elif path.is_dir():
                mounts += ["--ro-bind", str(path), str(path)]
        return [
            *mounts,
            *("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run"),
            *("--ro-bind-try", "/run/systemd/resolve", "/run/systemd/resolve"),
            *(() if self.trial else self._server()),
            *("--bind", str(self.folder / "tmp"), "/tmp"),  # noqa: S108 (its own)
            # Named, or it is made for its owner alone.
            *("--dir", str(_INSIDE_HOME.parent)),
            *("--bind", str(self.host_home), str(_INSIDE_HOME)),
            *("--dir", str(_INSIDE_OBJECTS)),
            *("--ro-bind", str(self.shared / self._lent), str(_INSIDE_OBJECTS / self._lent)),
        ]

    def _server_environment(self) -> dict[str, str]:
        binary = _INSIDE_BINARY if self.bwrap else opencode.binary(self.settings)
        return {"OPENCODE_LIB": str(self.library), "OPENCODE_BIN": str(binary)}

    def _server(self) -> list[str]:
        library, binary = opencode.library(self.settings), opencode.binary(self.settings)
        return [
            *("--ro-bind", str(library), str(_INSIDE_LIBRARY)),
            *("--ro-bind", str(binary), str(_INSIDE_BINARY)),
        ]
