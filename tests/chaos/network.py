"""A network of the suite's own: a Docker engine that starts anew deletes any docker0, whosever it is."""

from collections.abc import Sequence

SIGN = "CHAOS_NETWORK"
"""Set in the environment of what runs inside."""


def isolated(argv: Sequence[str]) -> list[str]:
    """The command, in a network with a loopback alone. Sockets in the file system are reached as ever."""
    enter = f'ip link set lo up && export {SIGN}=own && exec "$@"'
    return ["unshare", "--net", "--", "sh", "-c", enter, "sh", *argv]
