"""What a test needs of the machine. Missing in CI it fails; elsewhere it is skipped, saying why."""

import os

import pytest


def require(present: bool, what: str, cure: str) -> None:
    """Go on only where `what` is there. `cure` names the command that would bring it."""
    if present:
        return
    message = f"{what} is missing: {cure}"
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
