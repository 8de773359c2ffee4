"""Long-lived helpers beside the agent server, as a script inside the sandbox starts them."""

import re
from collections.abc import Sequence

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")

_SCRIPT = """
set -eu
umask 077
name=$1
shift
exec 9>"/tmp/.$name.lock"
flock 9
if [ -s "/tmp/.$name.pid" ]; then
  pid=$(cat "/tmp/.$name.pid")
  # A pid is used again after a restart: the marker tells whether it still is this helper.
  if tr '\\0' '\\n' 2>/dev/null <"/proc/$pid/environ" | grep -qx "OPENLINEAR_HELPER=$name"; then
    exit 0
  fi
fi
cat >"/tmp/.$name.in"
OPENLINEAR_HELPER=$name setsid "$@" <"/tmp/.$name.in" >/dev/null 2>"/tmp/.$name.log" 9>&- &
echo $! >"/tmp/.$name.pid"
sleep 0.1
if ! kill -0 $! 2>/dev/null; then
  tail -c 400 "/tmp/.$name.log" >&2
  exit 1
fi
"""


def helper_name(name: str) -> str:
    """`name`, fit to be part of a file's name. ValueError otherwise."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"not a helper's name: {name!r}")
    return name


def spawn_argv(name: str, argv: Sequence[str]) -> list[str]:
    """The command that starts `argv` under `name` unless it runs; its stdin goes to the helper whole."""
    return ["bash", "-c", _SCRIPT, "spawn", helper_name(name), *argv]
