"""The searcher for secrets finds them wherever they could be; else its silence says nothing."""

import base64
import gzip
import io
import subprocess
import tarfile
import time
import zlib
from pathlib import Path

import psycopg
import pytest

from tests.support.gitserver import run_git
from tests.support.planted import Search, Watch

SECRET = "s3cret/key+with=signs & spaces"
HIDDEN = {
    "plain": SECRET.encode(),
    "url": b"https://ada:s3cret%2Fkey%2Bwith%3Dsigns%20%26%20spaces@example.org",
    "form": b"key=s3cret%2Fkey%2Bwith%3Dsigns+%26+spaces",
    "hex": SECRET.encode().hex().encode(),
    **{f"base64 after {n}": base64.b64encode(b"x" * n + SECRET.encode() + b"tail") for n in range(4)},
    "basic": base64.urlsafe_b64encode(f"oauth2:{SECRET}".encode()),
}


@pytest.mark.parametrize("content", HIDDEN.values(), ids=HIDDEN.keys())
def test_it_knows_a_secret_in_every_form(content: bytes) -> None:
    search = Search({"key": SECRET})
    search.look("a place", b"before " + content + b" after")
    search.look("elsewhere", b"before " + content[: len(content) // 2] + b" after")
    assert search.found == {("key", "a place")}


def test_it_opens_files_git_objects_archives_and_backups(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "secrets").mkdir(parents=True)
    (home / "secrets" / "jwt_secret").write_text(SECRET)
    (home / "logs").mkdir()
    (home / "logs" / "web.log").write_text(f"refused {SECRET}")
    run_git("init", "--bare", "-q", str(home / "a.git"))
    run_git("hash-object", "-w", "--stdin", cwd=home / "a.git", stdin=SECRET.encode())
    (tmp_path / "backup").write_bytes(gzip.compress(SECRET.encode()))
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        info = tarfile.TarInfo(".git/objects/ab")
        info.size = len(data := zlib.compress(SECRET.encode()))
        tar.addfile(info, io.BytesIO(data))
    search = Search({"key": SECRET})
    search.files(home, apart=("secrets",))
    search.archive("container", archive.getvalue())
    search.backup(tmp_path / "backup")
    places = {where for _, where in search.found}
    assert places == {"file logs/web.log", "objects a.git", "container .git/objects/ab", "backup unpacked"}


def test_it_reads_every_table(database: str) -> None:
    with psycopg.connect(database.replace("+psycopg", "")) as connection:
        connection.execute("CREATE SCHEMA apart")
        connection.execute("CREATE TABLE apart.bytes AS SELECT %s::bytea AS b", [SECRET.encode()])
        connection.execute("CREATE TABLE words AS SELECT jsonb_build_object('a', %s::text) AS j", [SECRET])
    search = Search({"key": SECRET})
    search.rows(database)
    assert {where for _, where in search.found} == {"table apart.bytes", "table public.words"}


def test_it_sees_processes_that_live_for_a_moment() -> None:
    search = Search({"key": SECRET, "other": "another secret of ours"})
    watch = Watch(search)
    script = 'read line; sh -c "sleep 0.3; :" "$line"; LEAK="another secret of ours" sleep 0.3; read line'
    parent = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, text=True)
    assert parent.stdin is not None
    with watch.watching():
        watch.roots = {parent.pid}
        parent.stdin.write(f"{SECRET}\n")
        parent.stdin.flush()
        deadline = time.monotonic() + 10
        expected = {("key", "arguments of sh"), ("other", "environment of sleep")}
        while not expected <= search.found and time.monotonic() < deadline:
            time.sleep(0.05)
    parent.communicate("end\n")
    assert expected <= search.found
