"""What a user's worker container is: its names, limits and hardening, in one place."""

import hashlib
import json
import time
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

from docker.types import LogConfig, Mount, Ulimit

from engine.sandbox import egress_way as egress
from engine.settings import EngineSettings

PORT = "4096/tcp"
HOST_PORTS = "30000-31000"
UID = 10001
HOME = PurePosixPath("/home/opencode")
PASSWORD_FOLDER = HOME / ".local/share/opencode"
PASSWORD_FILE = ".server-password"  # noqa: S105 (a file's name)
KIND = {"app": "openlinear", "component": "opencode-worker"}
TRIAL = {"app": "openlinear", "component": "opencode-trial"}
INNER = {"app": "openlinear", "component": "opencode-inner"}
_FIRST = """
import os, signal, subprocess, sys
if sys.argv[2:]:
    subprocess.Popen(sys.argv[2:])
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # lasts over exec; shells do not let it be ignored
os.execvp("sleep", ["sleep", sys.argv[1]])
"""
_SERVER = 'while :; do "$@"; sleep 1; done & exec entrypoint'
"""The agent server, beside the relay that the arguments start."""


def labels(settings: EngineSettings) -> dict[str, str]:
    """What tells this installation's containers, volumes and network from anybody else's."""
    return {**KIND, "installation": settings.installation}


def _suffix(settings: EngineSettings) -> str:
    return "" if settings.installation == "default" else f"-{settings.installation}"


def trial_labels(settings: EngineSettings) -> dict[str, str]:
    """What tells this installation's trials from its users' containers, and from anybody else's."""
    return {**TRIAL, "installation": settings.installation}


def inner_labels(settings: EngineSettings) -> dict[str, str]:
    return {**INNER, "installation": settings.installation}


def bridge_name(settings: EngineSettings) -> str:
    """The inner network's interface on this machine: the same one whenever the network is made anew."""
    return f"ol-{hashlib.sha256(settings.installation.encode()).hexdigest()[:10]}"


def container_name(settings: EngineSettings, user_id: UUID) -> str:
    return f"opencode-user-{user_id}{_suffix(settings)}"


def trial_name(settings: EngineSettings, trial_id: UUID) -> str:
    return f"opencode-trial-{trial_id}{_suffix(settings)}"


def network_name(settings: EngineSettings) -> str:
    return f"openlinear{_suffix(settings)}"


def inner_name(settings: EngineSettings) -> str:
    return f"{network_name(settings)}-inner"


def volumes(settings: EngineSettings, user_id: UUID) -> dict[str, PurePosixPath]:
    """Volume name → where it is mounted.

    `home` holds caches and dotfiles, so that the root can be read-only. `repos` is a volume and not a host
    folder: workspaces are made and collected inside, the host never reads one.
    """
    prefix = "" if settings.installation == "default" else f"{settings.installation}-"
    targets = {
        "home": HOME,
        "auth": PASSWORD_FOLDER,
        "config": HOME / ".config/opencode",
        "repos": HOME / "repos",
    }
    return {f"{prefix}opencode-{kind}-{user_id}": target for kind, target in targets.items()}


def shared_objects(settings: EngineSettings, user_id: UUID) -> Path:
    return settings.repos.absolute() / "users" / str(user_id) / "objects"


def container_spec(settings: EngineSettings, user_id: UUID, image_id: str, network_id: str) -> dict[str, Any]:
    """Arguments of `containers.create`. The label `spec` changes whenever anything here does."""
    spec: dict[str, Any] = {
        "image": image_id,
        "name": container_name(settings, user_id),
        "network": network_id,
        **_way(settings),
        **_limits(settings),
        "restart_policy": {"Name": "on-failure", "MaximumRetryCount": 3},
        **_hardening(settings),
    }
    mounts = {name: str(target) for name, target in volumes(settings, user_id).items()}
    objects, sockets = str(shared_objects(settings, user_id)), str(egress.sockets(settings, user_id))
    digest = hashlib.sha256(json.dumps([spec, mounts, objects, sockets]).encode()).hexdigest()[:16]
    spec["mounts"] = [
        *(Mount(target, name, type="volume") for name, target in mounts.items()),
        _objects(objects),
        *_socket(settings, sockets),
    ]
    spec["log_config"] = LogConfig(type="json-file", config={"max-size": "5m", "max-file": "2"})
    spec["labels"] = {**labels(settings), "userId": str(user_id), "spec": digest}
    return spec


def trial_spec(
    settings: EngineSettings,
    user_id: UUID,
    image_id: str,
    network_id: str,
    *,
    trial_id: UUID,
    project_id: UUID,
    seconds: float,
) -> dict[str, Any]:
    """The same for a trial: as bounded and as closed, with no volume of the user's and one project's objects.

    Its home is a volume without a name, which Docker removes with it. The first process cannot be killed from
    inside, and ignores the ends of its children: so nobody has to collect those of orphans.
    """
    return {
        "image": image_id,
        "name": trial_name(settings, trial_id),
        "network": network_id,
        **_dead_end(settings),
        **_limits(settings),
        **_hardening(settings),
        "entrypoint": ["python3", "-I", "-c", _FIRST, f"{seconds:.0f}", *_relay(settings)],
        "stop_signal": "SIGKILL",
        "healthcheck": {"test": ["NONE"]},
        "auto_remove": True,
        "mounts": [
            Mount(str(HOME), None, type="volume"),
            _objects(str(shared_objects(settings, user_id) / str(project_id)), str(project_id)),
            *_socket(settings, str(egress.sockets(settings, user_id))),
        ],
        "log_config": LogConfig(type="none"),
        "labels": {
            **trial_labels(settings),
            "userId": str(user_id),
            "trialId": str(trial_id),
            "until": f"{time.time() + seconds:.0f}",
        },
    }


def _limits(settings: EngineSettings) -> dict[str, Any]:
    memory = f"{settings.container_memory_mb}m"
    return {
        "mem_limit": memory,
        "memswap_limit": memory,
        "cpu_shares": 512,
        "pids_limit": settings.container_pids,
        "ulimits": [_limit("fsize", settings.container_file_mb << 20)],
    }


def _limit(name: str, most: int) -> Ulimit:
    return Ulimit(name=name, soft=most, hard=most)


def _hardening(settings: EngineSettings) -> dict[str, Any]:
    return {
        "user": f"{UID}:{UID}",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "read_only": True,
        # `exec`: the agent server unpacks native modules here and loads them.
        "tmpfs": {"/tmp": "rw,exec,nosuid,nodev,size=256m,mode=1777"},  # noqa: S108 (the container's own)
        "extra_hosts": {"host.docker.internal": "host-gateway"} if settings.allow_local_remotes else {},
    }


def _way(settings: EngineSettings) -> dict[str, Any]:
    """How a worker is reached, and reaches others."""
    if settings.egress == "off":
        # The daemon picks a free port of the range: no race. Without the address it is open to the world.
        return {"ports": {PORT: ("127.0.0.1", HOST_PORTS)}}
    return {**_dead_end(settings), "entrypoint": ["tini", "--", "sh", "-c", _SERVER, "sh", *_relay(settings)]}


def _dead_end(settings: EngineSettings) -> dict[str, Any]:
    """Programs are told of the proxy, and names are asked of nobody: a question could carry an answer out."""
    if settings.egress == "off":
        return {}
    return {"environment": egress.ENVIRONMENT, "dns": ["127.0.0.1"]}


def _relay(settings: EngineSettings) -> list[str]:
    return [] if settings.egress == "off" else egress.relay_command()


def _socket(settings: EngineSettings, source: str) -> list[Mount]:
    return (
        [] if settings.egress == "off" else [Mount(str(egress.FOLDER), source, type="bind", read_only=True)]
    )


def _objects(source: str, below: str = "") -> Mount:
    return Mount(str(HOME / "objects" / below), source, type="bind", read_only=True)
