"""Runs one check command to its end and prints the end of what it said. Run inside a trial's box.

    python3 -I -c THIS SECONDS BYTES COMMAND

Exits as the command did. One that is not over after SECONDS is killed: then `timeout` is on stderr. What it
has started and left running is not waited for, though it holds the output open. Without dependencies.
"""

import os
import signal
import subprocess
import sys
import threading

DRAIN_SECONDS = 0.5


def keep_end(pipe: int, kept: bytearray, most: int) -> None:
    while piece := os.read(pipe, 1 << 16):
        kept += piece
        del kept[:-most]


def main(seconds: float, most: int, command: str) -> int:
    home = os.environ["HOME"]
    environment = {**os.environ, "PATH": f"{home}/.local/bin:{os.environ['PATH']}"}
    pipe, end = os.pipe()
    child = subprocess.Popen(
        ["sh", "-c", command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=end,
        stderr=end,
        start_new_session=True,
    )
    os.close(end)
    kept = bytearray()
    reader = threading.Thread(target=keep_end, args=(pipe, kept, most), daemon=True)
    reader.start()
    try:
        code = child.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        code = child.wait()
        sys.stderr.write("timeout\n")
    reader.join(DRAIN_SECONDS)
    sys.stdout.buffer.write(bytes(kept))
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    status = main(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # whatever still writes to the pipe
