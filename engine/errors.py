"""Why a run could not go on, said for a person.

Adapters translate what Docker, git, an agent or a forge answered into a `RunError`; the workflow
records its text as the run's reason. Anything else that is raised is a bug and is recorded as
`internal`, with the traceback in the log alone.
"""

from typing import Literal

Class = Literal[
    "network",  # nothing answered, or it broke off
    "rate_limit",  # the provider or forge asks to wait
    "overload",  # 5xx of a provider or forge
    "authentication",  # 401/403, a missing or wrong key or token
    "invalid_request",  # the other side understood and refused
    "agent_crash",  # the agent or its container died
    "timeout",  # a watchdog ended it
    "remote",  # the repository is not there, is empty, refused the push
    "sandbox",  # no engine, no image, an engine that is away
    "disk",  # no space left
    "limit",  # an answer, pack or diff over its cap; out of memory
    "budget",  # a bound of time or money that somebody set
    "clash",  # in a batch: it conflicts with another task's work
    "checks",  # in a batch: merged with the others, it breaks the project's checks
    "left_out",  # in a batch: it was never begun, because of another task
    "internal",  # a bug of ours
]


class RunError(Exception):
    """A run cannot go on. `reason` is one or two plain sentences: what happened, and the cure.

    It never holds a secret: callers scrub what they quote. `wait` is how many seconds the other side
    asks to be left alone, where it said so.
    """

    def __init__(self, reason: str, kind: Class = "internal", *, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind: Class = kind
        self.wait = wait


class Cancelled(Exception):
    """Somebody cancelled the run; the step stops and the workflow goes to its end."""
