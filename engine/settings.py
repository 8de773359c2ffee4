"""The engine's settings, from the environment. The product's settings extend these."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from engine.egress_hosts import normal


def default_home() -> Path:
    """The platform's data folder, as XDG lays it down; a service's where root starts it.

    The database refuses to run as root and runs as another user, who could not pass through /root.
    """
    named = os.environ.get("XDG_DATA_HOME")
    if not named and os.geteuid() == 0:
        return Path("/var/lib/openlinear")
    return Path(named or Path.home() / ".local" / "share") / "openlinear"


class EngineSettings(BaseSettings):
    """Read once per process. Durations are seconds unless the name says otherwise."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    database_url: str = ""
    """PostgreSQL. `openlinear up` sets it to the embedded server when it is empty."""
    openlinear_home: Path = Field(default_factory=default_home)
    repos_dir: Path | None = None
    """Mirrors and what sandboxes borrow of them; `$OPENLINEAR_HOME/repos` unless named."""
    openlinear_secret_key: SecretStr = SecretStr("")
    """Encrypts secrets at rest and derives container passwords; `openlinear up` generates it."""

    log_format: Literal["text", "json"] = "text"

    sandbox: Literal["auto", "docker", "process"] = "auto"
    opencode_image: str = "opencode-worker:latest"
    container_memory_mb: int = Field(512, ge=256)
    container_pids: int = Field(256, ge=64)
    container_file_mb: int = Field(8192, ge=16)
    """How large one file may become that an agent writes."""
    user_disk_gb: float = Field(20.0, gt=0)
    """How much one user's agents may have written, all in all; a run that grows beyond it ends."""
    disk_reserve_gb: float = Field(2.0, ge=0)
    """Where less is left of the disk, runs of users end who have written much."""
    container_idle_pause_seconds: float = Field(0.0, ge=0)
    container_idle_timeout_ms: int = Field(7_200_000, ge=1000)
    egress: Literal["on", "off"] = "on"
    """`off` leaves agents' containers on an ordinary network, where no proxy can run."""
    egress_default: Literal["open", "listed", "none"] = "listed"
    """What the agents of a user reach who has not chosen."""
    egress_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Further hosts on everybody's list, separated by commas; they may be in a private network."""
    installation: str = "default"
    """Told apart by container labels when several installations share one Docker engine."""

    allow_local_remotes: bool = False
    github_url: str = "https://github.com"
    github_api_url: str = "https://api.github.com"

    run_idle_seconds: float = Field(300.0, gt=0)
    run_total_seconds: float = Field(1800.0, gt=0)
    run_max_tokens: int | None = Field(None, ge=1)
    run_max_dollars: float | None = Field(None, gt=0)
    """What no run here may go beyond, whatever its task or its user allow."""
    model_retry_limit: int = Field(5, ge=0)
    """How often the agent may retry the model in a row before the run fails with that reason."""
    run_attempts: int = Field(5, ge=1)
    """How often a run may be tried at most, whatever fails (see `engine.retries`)."""
    run_retry_from: Literal["workspace", "start"] = "workspace"
    """Where an agent begins again that failed amid its turn: at what it left, or at the base commit,
    without what it left."""
    demo_model_pace: float = Field(1.0, ge=0)
    """How slowly the demo model works, so that a person can watch: 1 is 6 to 10 s a card, 0 is at once."""
    check_minutes: float = Field(15.0, gt=0)
    """How long all check commands of a project together may take on one commit."""
    pack_limit_mb: int = Field(512, ge=1)
    kept_days: float = Field(30.0, ge=0)
    """How long work that was not pushed is kept after its run."""
    kept_min_days: float = Field(3.0, ge=0)
    """How long it is kept even where all of it together is over `kept_max_gb`."""
    kept_max_gb: float = Field(20.0, ge=0)
    kept_files_mb: int = Field(200, ge=0)
    """How much of what git ignores is kept with a run's work; the largest is left out first."""
    janitor_interval_seconds: float = Field(3600.0, gt=0)
    worker_concurrency: int = Field(16, ge=1)
    queue_poll_seconds: float = Field(1.0, gt=0)
    """How often the queues are asked for work that nobody told of."""
    radar_seconds: float = Field(15.0, gt=0)
    """How often the workspaces of a user's runs are compared for conflicts."""
    worker_heartbeat_seconds: float = Field(5.0, gt=0)
    worker_lease_seconds: float = Field(15.0, gt=0)
    """Without a heartbeat for so long, a worker counts as dead and its runs go to others."""

    @field_validator("egress_hosts", mode="before")
    @classmethod
    def _hosts(cls, text: object) -> object:
        names = text.replace(",", " ").split() if isinstance(text, str) else text
        return tuple(map(normal, names)) if isinstance(names, list | tuple) else names

    @field_validator("database_url")
    @classmethod
    def _driver(cls, url: str) -> str:
        """Name psycopg 3 as the driver, whichever common spelling came in."""
        for prefix in ("postgres://", "postgresql://"):
            if url.startswith(prefix):
                return "postgresql+psycopg://" + url.removeprefix(prefix)
        return url

    @property
    def kept(self) -> Path:
        """Work that was not pushed, a folder a run."""
        return self.openlinear_home / "kept"

    @property
    def repos(self) -> Path:
        return self.repos_dir or self.openlinear_home / "repos"
