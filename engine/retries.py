"""Which failures are tried again, how often, and after how long: one table.

An agent that failed in the middle of its turn is given the task again, in a new session, on the
workspace as it stands; a step before or after that is simply repeated.
"""

from dataclasses import dataclass

from engine.errors import Class


@dataclass(frozen=True, slots=True)
class Policy:
    """`retries` further attempts; the first waits `wait` seconds, each next `factor` times as long."""

    retries: int
    wait: float
    factor: float = 2.0
    longest: float = 300.0

    def wait_before(self, nth: int) -> float:
        """Seconds to wait before the nth retry, the first being 1."""
        return min(self.wait * self.factor ** (nth - 1), self.longest)


TABLE: dict[Class, Policy] = {
    "network": Policy(retries=4, wait=2.0),
    "rate_limit": Policy(retries=4, wait=30.0),
    "overload": Policy(retries=4, wait=10.0),
    "agent_crash": Policy(retries=2, wait=1.0),
    "sandbox": Policy(retries=1, wait=2.0),
    "timeout": Policy(retries=1, wait=1.0),
}
"""A class that is not named here would fail in the same way again: a wrong key, a refused request, a full
disk, a spent budget, a remote that does not want the push."""


LONGEST_ASKED = 3600.0
"""Whoever asks to be left alone for longer than this is not waited for: a person should know."""


def wait_before(kind: str | None, nth: int, asked: float | None = None) -> float | None:
    """Seconds to wait after a run's nth failure of this kind, the first being 1; None where it is the last.

    `asked` is what the other side wants to be waited; the longer of it and the table's counts.
    """
    policy: Policy | None = TABLE.get(kind)  # type: ignore[call-overload]
    asked = asked or 0.0
    if policy is None or nth > policy.retries or asked > LONGEST_ASKED:
        return None
    return max(policy.wait_before(nth), asked)


def attempts(kind: str, nth: int, attempt: int, most: int) -> int:
    """The last attempt that may come, if this kind of failure goes on: `attempt` follows its nth."""
    policy: Policy = TABLE[kind]  # type: ignore[index]
    return min(most, attempt + policy.retries - nth)
