"""Talking to one `git merge-tree --stdin`: a pair of commits in, a tree or the paths in conflict out."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import BinaryIO

from engine.errors import RunError
from engine.git.command import MEBIBYTE

_LIMIT = 64 * MEBIBYTE
"""Of all that is said to one question."""


@dataclass(frozen=True, slots=True)
class Answer:
    clean: bool
    tree: str
    """Merged; where it is not clean, with the marks of conflicts in it."""
    files: tuple[str, ...] = ()
    """The paths in conflict, in git's order; bytes that are no UTF-8 are replaced."""


class MergeTree:
    """The pipes of a `git merge-tree --write-tree --stdin --name-only --messages`. Every call blocks.

    Git sends off an answer when it has said its messages; the zero byte that ends them comes with its
    next answer. So the messages about one question are read after the next is asked.
    """

    def __init__(self, to: BinaryIO, answers: BinaryIO) -> None:
        self._to = to
        self._from = answers
        self._words = self._split()
        self._left = _LIMIT
        self._open = False

    def merge(self, ours: str, theirs: str) -> Answer:
        """Merge two commits. EOFError when git gave up, RunError when it says too much."""
        self._ask(ours, theirs)
        self._messages()
        answer = self._answer()
        if answer.clean or answer.files:
            return replace(answer, files=_own_names(answer.files, ours, theirs))
        # A folder renamed two ways, say, leaves no path in conflict: then only the messages name one.
        self._ask(ours, ours)
        files = self._messages()
        self._answer()
        return Answer(False, answer.tree, _own_names(files, ours, theirs))

    def _ask(self, ours: str, theirs: str) -> None:
        self._left = _LIMIT
        self._to.write(f"{ours} {theirs}\n".encode())
        self._to.flush()

    def _answer(self) -> Answer:
        clean, tree = next(self._words) == b"1", next(self._words).decode()
        self._open = True
        return Answer(clean, tree, tuple(map(_text, takewhile(bool, self._words))))

    def _messages(self) -> list[str]:
        """Read what is left of the answer before; the paths of its conflicts."""
        named: list[str] = []
        if self._open:
            # What git advises about submodules is no message like others: text, up to the end.
            for count in takewhile(bytes.isdigit, self._words):
                paths = [_text(next(self._words)) for _ in range(int(count))]
                kind, _ = next(self._words), next(self._words)
                named += paths if kind.startswith(b"CONFLICT") else []
        return named

    def _split(self) -> Iterator[bytes]:
        rest = b""
        while chunk := os.read(self._from.fileno(), 1 << 16):
            self._left -= len(chunk)
            if self._left < 0:
                raise RunError("The tasks clash in too many files to be told.", "limit")
            *whole, rest = (rest + chunk).split(b"\0")
            yield from whole
        raise EOFError


def _own_names(paths: Iterable[str], ours: str, theirs: str) -> tuple[str, ...]:
    """Each path once. Where both sides cannot have one name, git puts a file aside as `name~commit`."""
    aside = re.compile(f"~(?:{ours}|{theirs})(?:_[0-9]+)?$")
    return tuple(dict.fromkeys(aside.sub("", path) for path in paths))


def _text(path: bytes) -> str:
    return path.decode(errors="replace")
