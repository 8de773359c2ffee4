"""What a run changed, for a person to read."""

from dataclasses import dataclass

from engine.git.command import MEBIBYTE, git
from engine.git.store import Store

PATCH_LIMIT = 2 * MEBIBYTE
_CUT = "[The diff is longer than 2 MB and is cut here.]\n"
# A bare repository has no attributes of its own, so no driver of the content's choosing runs.
_PLAIN = ("diff-tree", "-r", "--no-ext-diff", "--no-textconv", "--no-renames", "--no-color")


@dataclass(frozen=True, slots=True)
class FileChange:
    """Lines added and removed in one file; both 0 for a binary one."""

    path: str
    additions: int
    deletions: int
    binary: bool


@dataclass(frozen=True, slots=True)
class Diff:
    """A unified diff of at most 2 MB, with the true figures of the whole."""

    patch: str
    files: tuple[FileChange, ...]

    @property
    def additions(self) -> int:
        return sum(file.additions for file in self.files)

    @property
    def deletions(self) -> int:
        return sum(file.deletions for file in self.files)


async def diff(store: Store, base: str, sha: str) -> Diff:
    """The difference between two commits of the store. A renamed file counts as removed and added."""
    figures = await git(*_PLAIN, "--numstat", "-z", base, sha, git_dir=store.path)
    patch = await git(*_PLAIN, "--patch", base, sha, git_dir=store.path, limit=PATCH_LIMIT)
    text = patch.stdout
    if patch.cut:
        text = text[: text.rfind(b"\n") + 1]
    files = tuple(_change(record) for record in figures.stdout.split(b"\0") if record)
    return Diff(_text(text) + (_CUT if patch.cut else ""), files)


def _change(record: bytes) -> FileChange:
    added, deleted, path = record.split(b"\t", 2)
    binary = added == b"-"
    return FileChange(_text(path), 0 if binary else int(added), 0 if binary else int(deleted), binary)


def _text(content: bytes) -> str:
    """As text that a database takes: no NUL, and what is not UTF-8 replaced."""
    return content.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
