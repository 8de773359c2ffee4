"""How one git process is run: bounded, ended in time, with nothing inherited."""

import asyncio
import time
from pathlib import Path
from typing import BinaryIO

import pytest

from engine.errors import RunError
from engine.git import command
from engine.git.command import GitError, converse, git


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `git` first on the path, which a test writes as a shell script."""
    script = tmp_path / "bin" / "git"
    script.parent.mkdir()
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
    return script


def write(script: Path, body: str) -> None:
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)


async def test_output_and_failure_are_told() -> None:
    assert (
        await git("hash-object", "--stdin", stdin=b"x\n")
    ).line == "587be6b4c3f93f93c489c0111bba5596147a26cb"
    with pytest.raises(GitError, match="unknown-command"):
        await git("unknown-command")


async def test_a_full_disk_is_said_with_its_cure(stand_in: Path) -> None:
    write(stand_in, "echo 'fatal: write error: No space left on device' >&2; exit 128")
    with pytest.raises(RunError, match="disk is full") as caught:
        await git("fetch")
    assert caught.value.kind == "disk"


async def test_a_slow_one_is_ended_with_its_children(stand_in: Path, tmp_path: Path) -> None:
    write(stand_in, f"(sleep 2; touch {tmp_path}/survived) & sleep 30")
    began = time.monotonic()
    with pytest.raises(RunError, match=r"within 0\.3 seconds"):
        await git("fetch", timeout=0.3)
    assert time.monotonic() - began < 2
    await asyncio.sleep(2)
    assert not (tmp_path / "survived").exists()


async def test_endless_output_is_cut(stand_in: Path) -> None:
    write(stand_in, "exec yes")
    output = await git("log", limit=1000, timeout=10)
    assert output.cut and len(output.stdout) == 1000


async def test_endless_complaints_are_kept_short(stand_in: Path) -> None:
    write(stand_in, "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo the end >&2; exit 1")
    with pytest.raises(GitError) as caught:
        await git("fetch")
    assert len(caught.value.stderr) <= 65536 and caught.value.stderr.endswith("the end\n")


async def test_input_that_is_not_read_does_no_harm(stand_in: Path) -> None:
    write(stand_in, "exit 0")
    assert (await git("fetch", stdin=b"x" * 1_000_000)).code == 0


async def test_nothing_is_inherited_but_what_git_needs(
    stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENLINEAR_SECRET_KEY", "GIT_DIR", "GIT_SSH_COMMAND", "SSH_AUTH_SOCK", "GIT_TRACE"):
        monkeypatch.setenv(name, "planted")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com")
    write(stand_in, "env")
    seen = (await git("fetch")).stdout.decode()
    assert "planted" not in seen
    assert "HTTPS_PROXY=http://proxy.example.com" in seen
    assert "GIT_CONFIG_GLOBAL=/dev/null" in seen


async def test_many_at_once_do_not_starve_the_rest(stand_in: Path) -> None:
    write(stand_in, "sleep 1")
    slow = [asyncio.create_task(git("fetch")) for _ in range(20)]
    await asyncio.sleep(0.2)
    began = time.monotonic()
    await asyncio.to_thread(time.sleep, 0)
    assert time.monotonic() - began < 0.5
    await asyncio.gather(*slow)
    assert command._POOL._max_workers >= len(slow)


def ask(to: BinaryIO, answers: BinaryIO) -> bytes:
    to.write(b"a question\n")
    to.flush()
    if not (answer := answers.readline()):
        raise EOFError
    return answer


async def test_a_conversation_ends_when_it_has_its_answer(stand_in: Path) -> None:
    write(stand_in, "read -r line; echo got $line; exec sleep 60")
    assert await converse("merge-tree", talk=ask, timeout=10) == b"got a question\n"


async def test_a_conversation_that_git_breaks_off_says_why(stand_in: Path) -> None:
    write(stand_in, "read -r line; echo 'fatal: no' >&2; exit 128")
    with pytest.raises(GitError, match="ended with 128: fatal: no"):
        await converse("merge-tree", talk=ask)
    write(stand_in, "exec <&-; echo 'fatal: No space left on device' >&2; exit 128")
    with pytest.raises(RunError, match="disk is full"):
        await converse("merge-tree", talk=ask)


async def test_a_conversation_in_which_git_falls_silent_is_ended(stand_in: Path, tmp_path: Path) -> None:
    write(stand_in, f"(sleep 1; touch {tmp_path}/survived) & sleep 30")
    with pytest.raises(RunError, match=r"within 0\.3 seconds"):
        await converse("merge-tree", talk=ask, timeout=0.3)
    await asyncio.sleep(1)
    assert not (tmp_path / "survived").exists()


async def test_what_goes_wrong_in_talking_is_raised_and_ends_git(stand_in: Path, tmp_path: Path) -> None:
    def stop(to: BinaryIO, answers: BinaryIO) -> None:
        assert answers.readline() == b"begun\n"
        raise RunError("Too much.", "limit")

    write(stand_in, f"echo begun; (sleep 1; touch {tmp_path}/survived) & sleep 30")
    with pytest.raises(RunError, match="Too much"):
        await converse("merge-tree", talk=stop)
    await asyncio.sleep(1)
    assert not (tmp_path / "survived").exists()
