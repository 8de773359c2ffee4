"""What the README says of retries is what the engine does."""

import re
from pathlib import Path
from typing import get_args

from engine.errors import Class
from engine.retries import TABLE

README = Path(__file__).parents[2] / "README.md"


def waits(kind: Class) -> str:
    """As the table of the README has it."""
    policy = TABLE.get(kind)
    if policy is None:
        return "never"
    return ", ".join(f"{policy.wait_before(nth):g}" for nth in range(1, policy.retries + 1)) + " s"


def test_the_table_of_retries_is_that_of_the_engine() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| [^|]+ \| ([^|]+) \|$", README.read_text(), re.MULTILINE)
    assert dict(rows) == {kind: waits(kind) for kind in get_args(Class)}
