"""How the command line speaks: a line for each thing done, a moving one while something is long."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape


class Say:
    """Plain lines where nobody watches (a log, a pipe), a spinner with the time where somebody does."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)

    def line(self, text: str) -> None:
        self.console.print(escape(text))

    @contextmanager
    def step(self, text: str) -> Iterator[Callable[[str], None]]:
        """Around one piece of work. What it yields is told how far the work is."""
        began = time.monotonic()
        if not self.console.is_terminal:
            self.line(f"{text} ...")
            yield self._now_and_then()
        else:
            with self.console.status(escape(text)) as status:
                yield lambda far: status.update(f"{escape(text)} [dim]{escape(far[:100])}[/dim]")
        self.console.print(f"{escape(text)}: done in {time.monotonic() - began:.1f} s")

    def _now_and_then(self) -> Callable[[str], None]:
        """A log wants a sign of life, not every word."""
        last = time.monotonic()

        def tell(far: str) -> None:
            nonlocal last
            if time.monotonic() - last > 5:
                last = time.monotonic()
                self.line(f"  {far[:160]}")

        return tell
