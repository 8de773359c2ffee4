"""Known secrets, looked for in whatever the product writes: files, rows, answers, processes, containers.

A `Search` knows each secret by its kind and finds it as it is, in base64 at any alignment, in hex, escaped
for a URL or for JSON, and inside what is compressed. It says where, and of which kind; never the secret.
"""

import base64
import gzip
import io
import json
import tarfile
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, quote_plus

import psycopg
from psycopg.sql import SQL, Identifier

from tests.support.gitserver import run_git

Found = set[tuple[str, str]]
"""(kind of the secret, where it was)"""
POLL_SECONDS = 0.02


def forms(secret: str) -> set[bytes]:
    """What the secret looks like, wherever it stands in a longer text."""
    data = secret.encode()
    escaped = {quote(secret, safe=""), quote_plus(secret, safe=""), json.dumps(secret)[1:-1], data.hex()}
    return {data, *(form.encode() for form in escaped), *_base64(data)}


def _base64(data: bytes) -> Iterator[bytes]:
    """Without the letters that its neighbours have a part in."""
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(bytes(before) + data)
            yield whole[(before * 8 + 5) // 6 : (before + len(data)) * 8 // 6]


class Search:
    """What is found piles up in `found`. Safe to use from several threads."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        assert all(len(secret) >= 12 for secret in secrets.values()), "too short to be told from chance"
        self.kinds = {kind: forms(secret) for kind, secret in secrets.items()}
        self.found: Found = set()
        self.looked: dict[str, int] = {}
        """How many bytes were looked at, by the place's first word."""

    def know(self, kind: str, secret: str) -> None:
        self.kinds[kind] = forms(secret)

    def look(self, where: str, content: bytes | str) -> None:
        data = content.encode() if isinstance(content, str) else content
        first = where.partition(" ")[0]
        self.looked[first] = self.looked.get(first, 0) + len(data)
        for kind, shapes in list(self.kinds.items()):
            if any(shape in data for shape in shapes):
                self.found.add((kind, where))

    def files(self, folder: Path, *, apart: tuple[str, ...] = ()) -> None:
        """Every file below, git's objects opened. `apart` names top folders that are left out."""
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if name.parts[0] in apart or path.is_symlink() or not path.is_file():
                continue
            with suppress(FileNotFoundError):  # gone meanwhile
                self.look(f"file {name}", path.read_bytes())
            if path.name == "HEAD" and (path.parent / "objects").is_dir():
                self.git(f"objects {name.parent}", path.parent)

    def git(self, where: str, git_dir: Path) -> None:
        # Its alternates are searched as what they are.
        self.look(where, run_git("cat-file", "--batch", "--batch-all-objects", "--buffer", cwd=git_dir))

    def rows(self, url: str) -> None:
        """Every row of every table, as text."""
        tables = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname !~ '^(pg_|information_schema)'"
        with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://")) as connection:
            for schema, table in connection.execute(tables).fetchall():
                query = SQL("SELECT t::text FROM {} t").format(Identifier(schema, table))
                content = "\n".join(row for (row,) in connection.execute(query))
                self.look(f"table {schema}.{table}", content)

    def archive(self, where: str, data: bytes) -> None:
        """A tar, file by file."""
        with tarfile.open(fileobj=io.BytesIO(data)) as files:
            for info in files:
                content = files.extractfile(info) if info.isfile() else None
                if content is not None:
                    self.look(f"{where} {info.name}", _opened(content.read()))

    def backup(self, path: Path) -> None:
        data = path.read_bytes()
        self.look("backup raw", data)
        self.look("backup unpacked", gzip.decompress(data))


def _opened(data: bytes) -> bytes:
    """As it is, and what git's loose object or a gzip in it holds."""
    for unpack in (zlib.decompress, gzip.decompress):
        with suppress(zlib.error, OSError, EOFError):
            return data + b"\n" + unpack(data)
    return data


class Watch:
    """Looks at the processes below some roots, every 20 ms: arguments and environments.

    A root's own environment is not looked at: an installation's keys are given to it there.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self._stop = threading.Event()
        self.roots: set[int] = set()
        self.commands: set[str] = set()
        """The arguments of all that were seen."""

    @contextmanager
    def watching(self) -> Iterator["Watch"]:
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            roots = set(self.roots)
            own = {(_read(pid, "cmdline"), _read(pid, "environ")) for pid in roots}
            for pid in roots:
                self._search.look("arguments of a process of ours", _read(pid, "cmdline"))
            for pid in _below(roots):
                arguments, environment = _read(pid, "cmdline"), _read(pid, "environ")
                if (arguments, environment) in own:
                    continue  # a root's own image, between fork and exec
                command = arguments.replace(b"\0", b" ").decode(errors="replace").strip()
                name = Path(command.split(" ")[0]).name if command else ""
                self.commands.add(command)
                self._search.look(f"arguments of {name}", arguments)
                if not arguments.startswith(b"env\0--unset="):  # about to take them out of what git is given
                    self._search.look(f"environment of {name}", environment)


def _below(roots: set[int]) -> set[int]:
    parents = {int(path.name): _parent(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
    below: set[int] = set()
    wanted = set(roots)
    while wanted:
        wanted = {pid for pid, parent in parents.items() if parent in wanted} - below - roots
        below |= wanted
    return below


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
