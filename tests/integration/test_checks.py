"""A project's checks on a commit, in a real box of each kind: what they come to, whatever they do."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from engine.checks import OUTPUT_CHARS, readable
from engine.errors import RunError
from engine.folders import names_in
from engine.sandbox.cell import bubblewrap
from engine.sandbox.docker import DockerSandbox
from engine.sandbox.process import ProcessSandbox
from engine.settings import EngineSettings
from tests.support.needs import require
from tests.support.trials import Bench

NEW = {"notes.txt": "new\n"}


@pytest.fixture(scope="module")
async def docker_bench(
    docker_settings: EngineSettings, docker_sandbox: DockerSandbox
) -> AsyncIterator[Bench]:
    bench = Bench(docker_settings, docker_sandbox)
    await bench.refresh()
    yield bench
    await nothing_is_left(bench)


@pytest.fixture(scope="module")
async def process_bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    require(bubblewrap() is not None, "bubblewrap", "apt-get install bubblewrap")
    settings = EngineSettings(openlinear_home=tmp_path_factory.mktemp("trials"), sandbox="process")
    bench = Bench(settings, ProcessSandbox(settings))
    await bench.refresh()
    yield bench
    await nothing_is_left(bench)


@pytest.fixture(scope="module", params=["docker", "process"])
def bench(request: pytest.FixtureRequest) -> Bench:
    bench: Bench = request.getfixturevalue(f"{request.param}_bench")
    return bench


async def nothing_is_left(bench: Bench) -> None:
    assert await bench.sandbox.clear_trials(under_way=True) == []
    checks = bench.settings.openlinear_home / "checks"
    assert await asyncio.to_thread(names_in, checks) == []


async def test_a_merged_commit_is_tried_as_a_repository_of_its_own(bench: Bench) -> None:
    sha = await bench.commit(NEW)
    look = "git status --porcelain; git remote; git rev-parse HEAD; cat notes.txt; echo CI=$CI; touch ~/x"
    done = await bench.tried(sha, "python3 -m unittest -q", look)
    assert (done.passed, done.command, done.exit_code) == (True, "", 0)
    assert done.output == f"{sha}\nnew\nCI=true"
    assert bench.said[-2:] == ["Checking: python3 -m unittest -q", f"Checking: {look}"[:110]]


async def test_the_default_branch_itself_is_tried(bench: Bench) -> None:
    done = await bench.tried(
        bench.base, "test ! -e notes.txt && git status --porcelain && git rev-parse HEAD"
    )
    assert (done.passed, done.output) == (True, bench.base)


async def test_the_first_that_fails_is_the_last(bench: Bench) -> None:
    broken = await bench.commit({"tests/test_broken.py": "raise SystemError('broken on purpose')\n"})
    done = await bench.tried(broken, "echo fine", "python3 -m unittest -q", "echo never")
    assert (done.passed, done.command, done.exit_code) == (False, "python3 -m unittest -q", 1)
    assert "broken on purpose" in done.output
    assert "never" not in done.output


async def test_what_writes_more_than_it_may_is_stopped(bench: Bench) -> None:
    fill = "dd if=/dev/zero of=$HOME/large bs=1M count=200 status=none; sleep 60"
    done = await bench.tried(bench.base, "true", fill, here=bench.here(user_disk_gb=0.1))
    assert (done.passed, done.command, done.exit_code) == (False, fill, None)
    assert "What your checks have written takes 0.2 GB, and each user may have 0.1 GB" in done.output


async def test_a_command_that_is_not_there_says_the_cure(bench: Bench) -> None:
    done = await bench.tried(bench.base, "no-such-tool --all")
    assert (done.passed, done.exit_code) == (False, 127)
    assert "no-such-tool: not found" in done.output
    assert "Have the check bring it" in done.output


async def test_over_its_time_a_check_is_stopped_and_says_so(bench: Bench) -> None:
    hangs = "echo begun; setsid sleep 7301 & sleep 7301"
    done = await bench.tried(bench.base, "sleep 0.1", hangs, here=bench.here(check_minutes=0.02))
    assert (done.passed, done.command, done.exit_code) == (False, hangs, None)
    assert done.output.startswith("begun\nThe checks did not end within 0.02 minutes")


async def test_a_check_reaches_nothing_of_anybodys(bench: Bench) -> None:
    foreign, own = bench.sandbox.shared_objects(uuid4()), bench.sandbox.shared_objects(bench.user_id)
    for path in (foreign / "foreign", own / "of-another-project"):
        await asyncio.to_thread(path.mkdir, parents=True)
    (bench.settings.openlinear_home / "secret").write_text("a secret of the host")
    command = f"""
        touch /usr/x /etc/x; for one in $OBJECTS/*; do touch $one/x; done
        ls -A ~/.local/share/opencode ~/.config/opencode ~/repos {foreign} {foreign.parent.parent}
        cat {bench.settings.openlinear_home}/secret
        ls -l /var/run/docker.sock
        ls $OBJECTS; env; id -u; false"""
    done = await bench.tried(bench.base, command.replace("$OBJECTS", str(objects(bench))))
    assert done.exit_code == 1
    assert done.output.count("Read-only file system") + done.output.count("Permission denied") >= 3
    for hidden in (
        "foreign\n",
        "another-project",
        "secret of",
        "auth.json",
        "openlinear.json",
        "PASSWORD",
        "srw",
    ):
        assert hidden not in done.output, hidden
    assert str(bench.project_id) in done.output
    assert done.output.endswith("10001")


def objects(bench: Bench) -> str:
    return "/home/opencode/objects" if bench.sandbox.name == "docker" else "/run/objects"


async def test_what_a_check_prints_and_leaves_running_is_bounded(bench: Bench) -> None:
    leaves = "(sleep 7302 & while :; do echo on and on; sleep 0.1; done) & echo went on"
    floods = r"yes endless | head -c 50000000; printf '\0\033[1mred\033[0m 10%%\r99%%\r\n'"
    done = await bench.tried(bench.base, leaves, floods)
    assert done.passed
    assert done.output.endswith("endless\n99%")
    assert 10_000 < len(done.output) <= OUTPUT_CHARS


async def test_a_check_that_kills_all_it_can_has_failed(bench: Bench) -> None:
    done = await bench.tried(bench.base, "kill -9 -1; sleep 1")
    assert (done.passed, done.command, done.exit_code) == (False, "kill -9 -1; sleep 1", 137)
    assert "ended by signal 9" in done.output


async def test_a_cancelled_try_leaves_nothing(bench: Bench) -> None:
    task = asyncio.create_task(bench.tried(bench.base, "echo cancelled; sleep 7303"))
    await bench.reported("Checking: echo cancelled; sleep 7303")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await bench.sandbox.clear_trials(under_way=True) == []


async def test_a_box_that_is_lost_is_no_answer(bench: Bench) -> None:
    trial_id = uuid4()
    task = asyncio.create_task(bench.tried(bench.base, "echo lost; sleep 7304", trial_id=trial_id))
    await bench.reported("Checking: echo lost; sleep 7304")
    assert await bench.sandbox.clear_trials(under_way=True) == [trial_id]
    with pytest.raises(RunError, match="is gone") as caught:
        await task
    assert caught.value.kind == "sandbox"


async def test_while_all_is_being_stopped_a_lost_box_is_not_told(bench: Bench) -> None:
    here, trial_id = bench.here(), uuid4()
    task = asyncio.create_task(
        bench.tried(bench.base, "echo parked; sleep 7305", trial_id=trial_id, here=here)
    )
    await bench.reported("Checking: echo parked; sleep 7305")
    await here.containers.park()
    assert await bench.sandbox.clear_trials(under_way=True) == []
    await asyncio.wait([task], timeout=0.5)
    assert not task.done()
    task.cancel()


async def test_processes_without_end_stay_within_their_box(docker_bench: Bench) -> None:
    fork = "os.fork() or time.sleep(7306)"
    forks = f"while 1:\n  try: {fork}\n  except OSError: time.sleep(.01)"
    bomb = f"(exec python3 -c 'import os, time\n{forks}') & sleep 1; echo went on"
    done = await docker_bench.tried(docker_bench.base, bomb, "echo no room for this")
    assert (done.passed, done.command) == (False, "echo no room for this")
    assert done.exit_code is None
    assert "could not be run to its end" in done.output
    assert await docker_bench.sandbox.clear_trials(under_way=True) == []


async def test_a_check_that_runs_out_of_memory_says_so(docker_bench: Bench) -> None:
    done = await docker_bench.tried(docker_bench.base, "echo hungry; python3 -c 'bytearray(900 << 20)'")
    assert (done.passed, done.exit_code) == (False, 137)
    assert done.output.startswith("hungry\n")
    assert "ran out of memory (512 MB)" in done.output


async def test_without_its_engine_nothing_is_tried(
    docker_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    monkeypatch.setattr("engine.sandbox.daemon.OUTAGE_SECONDS", 0.0)
    away = Bench(docker_bench.settings, DockerSandbox(docker_bench.settings), base=docker_bench.base)
    away.project_id = docker_bench.project_id
    with pytest.raises(RunError, match="does not answer") as caught:
        await away.tried(away.base, "true")
    assert caught.value.kind == "sandbox"


async def test_without_bubblewrap_what_was_left_running_ends_too(process_bench: Bench) -> None:
    bare = ProcessSandbox(process_bench.settings)
    bare.__dict__["_bwrap"] = bare.__dict__["_unsafe"] = None
    bench = Bench(process_bench.settings, bare)
    await bench.refresh()
    sha = await bench.commit(NEW)
    done = await bench.tried(sha, "setsid sleep 7307 & pgrep -xc -f 'sleep 7307'; pwd; git rev-parse HEAD")
    assert done.passed
    count, where, head = done.output.splitlines()
    assert (count, head) == ("1", sha)
    assert where.startswith(str(bench.settings.openlinear_home / "trials"))
    left = await asyncio.to_thread(subprocess.run, ["pgrep", "-xf", "sleep 7307"], capture_output=True)
    assert left.returncode == 1


def test_output_reads_as_a_terminal_shows_it() -> None:
    said = b"\x1b[31mred\x1b[0m\r\n10%\r99%\rdone\n\x1b]0;title\x07ok\x1b(B \x1b[2K\x1b[1Gend\xff\x00\x08\n\n"
    assert readable(said) == "red\ndone\nok end\N{REPLACEMENT CHARACTER}"
    assert readable(b"\x1b[" * 30_000) == ""
