"""The scenarios, in a network of their own: see `network`."""

import os
import subprocess
import sys
from pathlib import Path

from tests.chaos.network import isolated
from tests.support.github import description
from tests.support.needs import require

SCENARIOS = Path(__file__).with_name("scenarios.py")


def test_kill_it_anywhere(worker_image: str) -> None:
    require(os.geteuid() == 0, "Root, for a Docker engine of its own", "run the suite as root")
    description()  # from the registry, which the network inside has no way to
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-s", str(SCENARIOS)]
    argv += ["--durations", "5", "-o", "log_cli=true", "--log-cli-level", "WARNING"]
    assert subprocess.run(isolated(argv), env=environment, check=False).returncode == 0
