"""One long-lived process under the supervisor: started, watched, started again, stopped."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from openlinear.processes import Command

BACKOFF_FIRST = 0.5
BACKOFF_LIMIT = 30.0
STEADY_SECONDS = 30.0
"""Who lived this long is well: its next death starts the back-off anew."""
LOG_LIMIT = 10 << 20


class Service:
    """A child that is kept alive. Plain polling: `tend` is called a few times a second."""

    def __init__(
        self,
        name: str,
        command: Command,
        log: Path,
        say: Callable[[str], None],
        farewell: tuple[signal.Signals, float],
    ) -> None:
        """`farewell` is the signal that asks it to end, and the seconds it is given."""
        self.name, self.command, self.log, self.say, self.farewell = name, command, log, say, farewell
        self.process: subprocess.Popen[bytes] | None = None
        self.deaths = 0
        self._started = 0.0
        self._next = 0.0
        self._pause = BACKOFF_FIRST

    def tend(self) -> None:
        """Start it when it is not running and its time has come; take note of its death."""
        now = time.monotonic()
        if self.process is not None:
            code = self.process.poll()
            if code is None:
                return
            self._died(code, now)
        if now >= self._next:
            self._start(now)

    def stop(self) -> None:
        """Ask it to end, then make it and all that it started."""
        process, self.process = self.process, None
        if process is None:
            return
        how, seconds = self.farewell
        process.send_signal(how)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.say(f"The {self.name} did not end within {seconds:.0f} s and is killed.")
        self._kill_group(process)
        process.wait()

    def last_words(self) -> str:
        """The last line it logged."""
        try:
            lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        except OSError:
            return ""
        return lines[-1].strip()[:300] if lines else ""

    def _start(self, now: float) -> None:
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        first = self._started == 0.0  # each run of the supervisor begins a log; the one before is kept
        if self.log.exists() and (first or self.log.stat().st_size > LOG_LIMIT):
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self.process = self.command.start(log, on_orphan=signal.SIGKILL)
        self._started = now

    def _died(self, code: int, now: float) -> None:
        assert self.process is not None  # noqa: S101 - for mypy: the caller has looked
        self._kill_group(self.process)
        self.process = None
        self.deaths += 1
        if now - self._started > STEADY_SECONDS:
            self._pause = BACKOFF_FIRST
        self._next = now + self._pause
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        self.say(f"The {self.name} {how}; starting it again in {self._pause:g} s. Its log: {self.log}")
        self._pause = min(self._pause * 2, BACKOFF_LIMIT)

    @staticmethod
    def _kill_group(process: "subprocess.Popen[bytes]") -> None:
        """What it started in its own session goes with it."""
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
