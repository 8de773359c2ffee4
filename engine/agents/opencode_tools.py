"""OpenCode's tool calls, said briefly for a person."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

Json = Mapping[str, Any]


def trimmed(value: Any, limit: int) -> Any:
    """A copy whose strings are cut to `limit` characters, with a note on what was left out."""
    if isinstance(value, str) and len(value) > limit:
        return f"{value[:limit]}\n[{len(value) - limit} more characters]"
    if isinstance(value, Mapping):
        return {str(key): trimmed(item, limit) for key, item in value.items()}
    if isinstance(value, list):
        return [trimmed(item, limit) for item in value]
    return value


def relative(path: str, directory: PurePosixPath) -> str:
    """The path as seen from the workspace; one outside of it stays as it is."""
    pure = PurePosixPath(path)
    return str(pure.relative_to(directory)) if pure.is_relative_to(directory) else str(pure)


def title_of(tool: str, given: Json, directory: PurePosixPath) -> str:
    """A short title: "edit src/app.py", "run pytest -q"."""

    def text(*names: str) -> str:
        found = next((str(given[name]) for name in names if given.get(name)), "")
        return found.strip().split("\n", 1)[0][:120]

    match tool:
        case "read" | "edit" | "multiedit" | "write" | "list":
            path = text("filePath", "path")
            return f"{tool.removeprefix('multi')} {relative(path, directory)}" if path else tool
        case "bash":
            return f"run {text('command')}"
        case "grep" | "glob":
            return f"search {text('pattern')}"
        case "webfetch":
            return f"fetch {text('url')}"
        case "task":
            return f"delegate {text('description', 'prompt')}"
        case "todowrite" | "todoread":
            return "plan"
        case "question":
            return "ask a question"
        case "apply_patch" | "patch":
            return "edit files"
    return f"{tool} {text('description', 'query', 'name')}".strip()


def edited_paths(tool: str, given: Json, metadata: Json, directory: PurePosixPath) -> list[str]:
    """The files that a completed call wrote, relative to the workspace."""
    if tool in ("edit", "multiedit", "write") and given.get("filePath"):
        return [relative(str(given["filePath"]), directory)]
    if tool in ("apply_patch", "patch"):
        files = [file for file in metadata.get("files") or () if isinstance(file, Mapping)]
        paths = [str(file.get("movePath") or file.get("filePath") or "") for file in files]
        return [relative(path, directory) for path in paths if path]
    return []
