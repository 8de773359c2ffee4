"""A disk that is full while a repository is fetched, on a small file system of its own."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.aftermath import assert_done, assert_failed
from tests.support.gitserver import run_git
from tests.support.modelserver import Turn, Write
from tests.support.needs import require
from tests.support.stack import Person

MEGABYTE = 1 << 20


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of 4 MB in `folder`, gone with the folder afterwards."""
    become = [] if os.geteuid() == 0 else ["sudo", "-n"]
    size = f"size=4m,mode=0700,uid={os.geteuid()}"
    mount = [*become, "mount", "-t", "tmpfs", "-o", size, "openlinear-test", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    require(done.returncode == 0, "The right to mount a file system", "run the tests as root")
    try:
        yield
    finally:
        subprocess.run([*become, "umount", str(folder)], check=True)
        folder.rmdir()


async def test_a_full_disk_ends_the_run_with_its_cure_and_is_left_as_it_was(person: Person) -> None:
    stack = person.stack
    repo = stack.git.create("disk/large", {"large.bin": secrets.token_bytes(8 * MEGABYTE)})
    project = await person.project(repo)
    script = stack.model.script("large", Turn("", [Write("a.txt", "x\n")]), Turn("Done."))
    task = await person.task(project, "On a full disk", description=script)
    mirror = stack.home / "repos" / "mirrors" / f"{project['id']}.git"
    mirror.mkdir(parents=True)
    with small_disk(mirror):
        run_git("init", "--quiet", "--bare", "--template=", str(mirror))
        await person.execute(task)
        await assert_failed(person, task, "disk is full", "Free some space", kind="disk")
        assert shutil.disk_usage(mirror).used < MEGABYTE, "the half of the pack is gone"
    await person.execute(task)
    await assert_done(person, task)
