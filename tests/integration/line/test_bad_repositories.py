"""Repositories with odd things in them, and workspaces that an agent booby-trapped."""

import shlex
from pathlib import Path

from tests.support.aftermath import assert_done, inside
from tests.support.gitserver import TOKEN, Content, run_git
from tests.support.modelserver import Bash, Edit, Turn, Write
from tests.support.stack import Person

ELSEWHERE = "5" * 40
"""A submodule's commit, which nobody here has."""
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 1000000\n"
ODD: dict[str, Content] = {
    "app.py": "print('hello')\n",
    ".gitmodules": '[submodule "lib"]\n\tpath = lib\n\turl = https://example.com/lib.git\n',
    "lib": ("160000", ELSEWHERE),
    ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
    "big.bin": POINTER,
    "out": ("120000", "/etc/passwd"),
    "up": ("120000", "../../../../etc"),
    "two\nlines.txt": "newline\n",
    'quo"te\\.txt': "quote\n",
    "-dash ü.txt": "dash\n",
    "run.sh": ("100755", "#!/bin/sh\n"),
}


async def test_an_odd_repository_runs_and_its_branch_is_right(person: Person) -> None:
    repo = person.stack.git.create("odd/all", ODD)
    script = person.stack.model.script(
        "odd",
        Turn("", [Edit("app.py", "hello", "hello, world"), Bash("echo more >> $'two\\nlines.txt'")]),
        Turn("", [Bash("printf x > $'new\\nname.txt'; ln -s /etc/shadow link")]),
        Turn("Done."),
    )
    task = await person.task(await person.project(repo), "Work among <b>odd</b> things", description=script)
    await person.execute(task)
    done = await assert_done(person, task)
    tip = repo.branches()[done["branchName"]]
    assert changes(repo.path, tip) == {
        "M app.py",
        "M two\nlines.txt",
        "A new\nname.txt",
        "A link",
    }
    assert repo.read(tip, "link") == b"/etc/shadow"
    assert repo.read(tip, "two\nlines.txt") == b"newline\nmore\n"
    assert ELSEWHERE in run_git("ls-tree", tip, "lib", cwd=repo.path).decode()
    assert repo.show(tip, "%s") == "Work among <b>odd</b> things"
    shown = (await person.http.get(f"/api/tasks/{task['id']}/diff")).text
    assert "root:" not in shown


def changes(repository: Path, tip: str) -> set[str]:
    """What the commit changed: "M path", "A path", …"""
    raw = run_git("diff-tree", "-r", "-z", "--no-renames", "--name-status", "main", tip, cwd=repository)
    fields = raw.decode().split("\0")[:-1]
    return {f"{status} {path}" for status, path in zip(fields[::2], fields[1::2], strict=True)}


async def test_what_an_agent_plants_never_runs_on_the_host(person: Person, tmp_path: Path) -> None:
    folder = tmp_path / "trap"
    marker = folder / "it-ran"
    trap = f"sh -c 'mkdir -p {folder}; date >> {marker}; exit 0'"
    keys = ["core.fsmonitor", "core.sshCommand", "core.pager", "diff.external", "credential.helper"]
    keys += ["filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "gpg.program"]
    keys += ["uploadpack.packObjectsHook", "alias.status", "core.editor", "merge.evil.driver"]
    plant = [f"git config {key} {shlex.quote(trap)}" for key in keys]
    plant += [
        "git config core.hooksPath hooks; git config commit.gpgSign true",
        "mkdir -p hooks .git/hooks .git/info",
        "for hook in pre-commit post-checkout post-index-change reference-transaction pre-push "
        "pre-receive; do "
        f"for to in hooks .git/hooks; do printf '%s\\n' '#!/bin/sh' {shlex.quote(trap)} > $to/$hook; "
        "chmod +x $to/$hook; done; done",
        "echo '* filter=evil diff=evil merge=evil' | tee .gitattributes > .git/info/attributes",
        "echo /etc > .git/objects/info/alternates.evil",
    ]
    proof = "git status > /dev/null 2>&1 < /dev/null; true"
    repo = person.stack.git.create("odd/trapped", {"app.py": "print('hello')\n"})
    script = person.stack.model.script(
        "plant",
        Turn("", [Edit("app.py", "hello", "hello, world")]),
        Turn("", [Bash("\n".join([*plant, proof]))]),
        Turn("Planted."),
    )
    task = await person.task(await person.project(repo), "Plant traps", description=script)
    await person.execute(task)
    done = await assert_done(person, task)
    assert "it-ran" in await inside(person, f"ls {folder}"), "the trap itself must work"
    assert not folder.exists()
    tip = repo.branches()[done["branchName"]]
    assert repo.read(tip, "app.py") == b"print('hello, world')\n"
    assert {".gitattributes", "hooks/pre-push"} <= set(repo.files(tip))
    assert not [name for name in repo.files(tip) if name.startswith(".git/")]


LOOT = """
import os, pathlib, subprocess
with open("/tmp/loot", "wb") as loot:
    for root in ("/proc", "/etc", "/run", "/var", "/opt", "/home"):
        for folder, folders, names in os.walk(root):
            if root == "/proc":
                folders[:] = [name for name in folders if name.isdigit() and folder == root]
                names = [name for name in names if name in ("environ", "cmdline", "mounts")]
            folders[:] = [name for name in folders if name not in ("node_modules", "objects")]
            for name in names:
                try:
                    loot.write(pathlib.Path(folder, name).open("rb").read(65536))
                except OSError:
                    pass
"""


async def test_an_agent_that_looks_for_credentials_finds_none_of_the_servers(person: Person) -> None:
    repo = person.stack.git.create("odd/looted", {"app.py": "print('hello')\n"})
    script = person.stack.model.script(
        "loot", Turn("", [Write("loot.py", LOOT)]), Turn("", [Bash("python3 loot.py")]), Turn("Nothing.")
    )
    task = await person.task(await person.project(repo), "Look around", description=script)
    await person.execute(task)
    await assert_done(person, task)
    loot = await inside(person, "cat /tmp/loot; rm /tmp/loot")
    assert person.stack.model.key in loot, "the search itself must work: this key is the agent's to use"
    environment = person.stack.environment
    hidden = ("OPENLINEAR_SECRET_KEY", "JWT_SECRET", "DATABASE_URL")
    for secret in (TOKEN, *(environment[name] for name in hidden)):
        assert secret not in loot
