"""OpenCode's tool calls, said briefly for a person."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

Json = Mapping[str, Any]


_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def storable(text: str) -> str:
    """The text with surrogate pairs joined, and NUL and lone halves replaced, one for one.

    JSON may hold them; UTF-8 and the database may not.
    """
    if not _UNSTORABLE.search(text):
        return text
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return joined.replace("\0", "\N{REPLACEMENT CHARACTER}")


def trimmed(value: Any, limit: int) -> Any:
    """A storable copy whose strings are cut to `limit` characters, with a note on what was left out."""
    if isinstance(value, str):
        cut = f"\n[{len(value) - limit} more characters]" if len(value) > limit else ""
        return storable(value[:limit]) + cut
    if isinstance(value, Mapping):
        return {storable(str(key)): trimmed(item, limit) for key, item in value.items()}
    if isinstance(value, list):
        return [trimmed(item, limit) for item in value]
    return value


def relative(path: str, directory: PurePosixPath) -> str:
    """The path as seen from the workspace; one outside of it stays as it is."""
    pure = PurePosixPath(path)
    return str(pure.relative_to(directory)) if pure.is_relative_to(directory) else str(pure)


_TITLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "read": ("read", ("filePath",)),
    "list": ("list", ("path",)),
    "write": ("write", ("filePath",)),
    "edit": ("edit", ("filePath",)),
    "multiedit": ("edit", ("filePath",)),
    "apply_patch": ("edit files", ()),
    "patch": ("edit files", ()),
    "bash": ("run", ("command",)),
    "grep": ("search", ("pattern",)),
    "glob": ("search", ("pattern",)),
    "webfetch": ("fetch", ("url",)),
    "task": ("delegate", ("description", "prompt")),
    "todowrite": ("plan", ()),
    "todoread": ("plan", ()),
    "question": ("ask a question", ()),
}
"""Tool → the verb, and the arguments that say what it is about."""


def title_of(tool: str, given: Json, directory: PurePosixPath) -> str:
    """A short title: "edit src/app.py", "run pytest -q"."""
    verb, names = _TITLES.get(tool, (tool, ("description", "query", "name")))
    about = next((str(given[name]) for name in names if given.get(name)), "").strip()
    if "filePath" in names or "path" in names:
        about = relative(about, directory) if about else ""
    return f"{verb} {storable(about).split(chr(10), 1)[0][:120]}".strip()


def edited_paths(tool: str, given: Json, metadata: Json, directory: PurePosixPath) -> list[str]:
    """The files that a completed call wrote, relative to the workspace."""
    if tool in ("edit", "multiedit", "write") and given.get("filePath"):
        return [relative(str(given["filePath"]), directory)]
    if tool in ("apply_patch", "patch"):
        files = [file for file in metadata.get("files") or () if isinstance(file, Mapping)]
        paths = [str(file.get("movePath") or file.get("filePath") or "") for file in files]
        return [relative(path, directory) for path in paths if path]
    return []
