"""The process sandbox with the real OpenCode, behind bubblewrap and without."""

import asyncio
import shutil
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from engine.errors import RunError
from engine.ports import Box
from engine.sandbox.cell import bubblewrap
from engine.sandbox.process import ProcessSandbox
from engine.settings import EngineSettings
from tests.support.needs import require
from tests.support.sandbox import shell, silent

USER = uuid.UUID("00000000-0000-4000-8000-00000000b0c1")
OTHER = uuid.UUID("00000000-0000-4000-8000-00000000b0c2")


@pytest.fixture(scope="module")
async def plain(process_settings: EngineSettings) -> AsyncIterator[ProcessSandbox]:
    """The same as an ordinary user's on a machine without bubblewrap."""
    sandbox = ProcessSandbox(process_settings)
    sandbox.__dict__["_bwrap"] = sandbox.__dict__["_unsafe"] = None
    yield sandbox


@pytest.fixture(scope="module", params=["bubblewrap", "plain"])
async def sandbox(
    request: pytest.FixtureRequest, process_sandbox: ProcessSandbox, plain: ProcessSandbox
) -> AsyncIterator[ProcessSandbox]:
    if request.param == "plain":
        yield plain
    else:
        require(bubblewrap() is not None, "bubblewrap", "apt-get install bubblewrap")
        yield process_sandbox
    await process_sandbox.remove(USER)


@pytest.fixture(scope="module")
async def box(sandbox: ProcessSandbox) -> Box:
    first, second = await asyncio.gather(sandbox.ensure(USER, silent), sandbox.ensure(USER, silent))
    assert first == second
    return first


async def running(pattern: str) -> bool:
    done = await asyncio.to_thread(subprocess.run, ["pgrep", "-f", pattern], capture_output=True)
    return done.returncode == 0


async def test_server_demands_its_password(box: Box) -> None:
    assert box.url.startswith("http://127.0.0.1:")
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{box.url}/global/health")).status_code == 401
        answer = await client.get(f"{box.url}/global/health", auth=("opencode", box.password))
        assert answer.json()["version"] == "1.18.33"


async def test_password_is_in_no_process_list(box: Box, sandbox: ProcessSandbox) -> None:
    processes = await asyncio.to_thread(subprocess.check_output, ["ps", "axww", "-o", "args"], text=True)
    assert "serve --hostname 127.0.0.1" in processes
    assert box.password not in processes
    environment = await sandbox.exec(box, ["env"])
    assert box.password.encode() not in environment.stdout


async def test_environment_is_an_allowlist(
    box: Box, sandbox: ProcessSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAR_SECRET_KEY", "do not pass on")
    monkeypatch.setenv("GITHUB_TOKEN", "do not pass on")
    environment = await sandbox.exec(box, ["env"])
    assert b"do not pass on" not in environment.stdout
    assert f"HOME={box.repos.parent}\n".encode() in environment.stdout


async def test_exec(box: Box, sandbox: ProcessSandbox) -> None:
    done = await sandbox.exec(
        box,
        ["sh", "-c", 'pwd; echo "$GREETING"; cat; echo trouble >&2; exit 3'],
        cwd=box.repos,
        env={"GREETING": "hello"},
        stdin=b"from stdin\n",
    )
    assert done.exit_code == 3
    assert done.stdout.decode() == f"{box.repos}\nhello\nfrom stdin\n"
    assert done.stderr == b"trouble\n"
    killed = await sandbox.exec(box, ["sh", "-c", "kill -9 $$"])
    assert killed.exit_code == 137
    assert (await sandbox.exec(box, ["true"], stdin=b"x" * (4 << 20))).exit_code == 0


async def test_limit_and_timeout_kill(box: Box, sandbox: ProcessSandbox) -> None:
    with pytest.raises(RunError, match="limit of 100,000 bytes"):
        await sandbox.exec(box, ["yes", "over-the-limit"], limit=100_000)
    assert not await running("yes over-the-limit")
    with pytest.raises(RunError, match="did not end within 1 seconds"):
        await sandbox.exec(box, ["sh", "-c", "setsid sleep 7101 & exec sleep 7101"], timeout=1)
    assert not await running("sleep 7101")


async def test_objects_show_inside(box: Box, sandbox: ProcessSandbox) -> None:
    (sandbox.shared_objects(USER) / "shown").write_text("borrowed")
    assert (await sandbox.exec(box, ["cat", f"{box.objects}/shown"])).stdout == b"borrowed"


async def test_stop_run_kills_orphans_of_the_agent(box: Box, sandbox: ProcessSandbox) -> None:
    """Through the agent server's own shell, so that they are children of it as an agent's are."""
    run = uuid.uuid4()
    workspace = box.repos / str(run)
    await sandbox.exec(box, ["mkdir", "-p", str(workspace)])
    said = await shell(box, workspace, "(setsid sleep 7102 >/dev/null 2>&1 &); env; echo started")
    assert "started" in said
    assert box.password not in said, "the agent's commands see the server's password"
    assert await running("sleep 7102")
    await sandbox.stop_run(box, run)
    assert not await running("sleep 7102")
    assert await sandbox.ensure(USER, silent) == box


async def test_a_helper_is_started_once_and_dies_with_the_box(box: Box, sandbox: ProcessSandbox) -> None:
    argv = ["sh", "-c", "cat > repos/told; exec sleep 7103"]
    for _ in range(2):
        await sandbox.spawn(box, "demo-model", argv, stdin=b"a script")
    count = await asyncio.to_thread(subprocess.run, ["pgrep", "-xcf", "sleep 7103"], capture_output=True)
    assert count.stdout == b"1\n"
    assert (await sandbox.exec(box, ["cat", "repos/told"])).stdout == b"a script"
    with pytest.raises(RunError, match="could not be started"):
        await sandbox.spawn(box, "absent", ["sh", "-c", "echo no such thing >&2; exit 1"])


async def test_pause_and_wake(box: Box, sandbox: ProcessSandbox) -> None:
    await sandbox.pause(USER)
    await sandbox.pause(USER)
    assert (await sandbox.found())[USER] == "paused"
    assert await sandbox.ensure(USER, silent) == box
    assert (await sandbox.found())[USER] == "running"


async def test_found_by_a_new_engine(
    box: Box, process_settings: EngineSettings, sandbox: ProcessSandbox
) -> None:
    fresh = ProcessSandbox(process_settings)
    assert (await fresh.found())[USER] == "running"
    fresh.__dict__["_bwrap"], fresh.__dict__["_unsafe"] = sandbox._bwrap, sandbox._unsafe
    assert await fresh.ensure(USER, silent) == box


async def test_the_server_outlives_the_engine(
    process_settings: EngineSettings, process_sandbox: ProcessSandbox
) -> None:
    """Started by a process that has ended since, it is found and used."""
    script = f"""
import asyncio, uuid
from pathlib import Path
from engine.sandbox.process import ProcessSandbox
from engine.settings import EngineSettings
async def silent(_): pass
settings = EngineSettings(openlinear_home=Path({str(process_settings.openlinear_home)!r}),
    openlinear_secret_key={process_settings.openlinear_secret_key.get_secret_value()!r}, sandbox="process")
print(asyncio.run(ProcessSandbox(settings).ensure(uuid.UUID({str(OTHER)!r}), silent)).url)
"""
    url = await asyncio.to_thread(subprocess.check_output, [sys.executable, "-c", script], text=True)
    try:
        assert (await process_sandbox.found())[OTHER] == "running"
        assert (await process_sandbox.ensure(OTHER, silent)).url == url.strip()
    finally:
        await process_sandbox.remove(OTHER)


async def test_removal_kills_everything_and_keeps_the_files(box: Box, sandbox: ProcessSandbox) -> None:
    await sandbox.remove(USER)
    await sandbox.remove(USER)
    assert USER not in await sandbox.found()
    assert not await running("sleep 7103")
    again = await sandbox.ensure(USER, silent)
    assert (await sandbox.exec(again, ["cat", "repos/told"])).stdout == b"a script"


async def test_a_server_that_was_killed_is_told_and_started_again(sandbox: ProcessSandbox) -> None:
    box = await sandbox.ensure(USER, silent)
    pattern = f"serve --hostname 127.0.0.1 --port {box.url.rpartition(':')[2]}"
    await asyncio.to_thread(subprocess.run, ["pkill", "-KILL", "-f", pattern], check=True)
    await asyncio.sleep(0.3)
    assert (await sandbox.found())[USER] == "stopped"
    cause = await sandbox.cause_of_death(USER)
    assert cause is not None and "ended by itself" in cause.reason
    again = await sandbox.ensure(USER, silent)
    assert (await sandbox.exec(again, ["true"])).exit_code == 0


async def test_links_planted_inside_lead_the_engine_nowhere(
    process_sandbox: ProcessSandbox, tmp_path: Path
) -> None:
    """The engine may be root: it must not follow what an agent has put in its own home."""
    require(bubblewrap() is not None, "bubblewrap", "apt-get install bubblewrap")
    box = await process_sandbox.ensure(USER, silent)
    plant = (
        f"rm -rf ~/.local ~/.config; for name in .local .config objects; do ln -s {tmp_path} ~/$name; done"
    )
    await process_sandbox.exec(box, ["sh", "-c", plant])
    await process_sandbox.remove(USER)
    with pytest.raises(RunError, match="could not be prepared"):
        await process_sandbox.ensure(USER, silent)
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []
    await asyncio.to_thread(shutil.rmtree, process_sandbox._cell(USER).host_home)


async def test_bubblewrap_hides_other_people_and_the_system(process_sandbox: ProcessSandbox) -> None:
    require(shutil.which("bwrap") is not None, "bubblewrap", "apt-get install bubblewrap")
    box = await process_sandbox.ensure(USER, silent)
    secret = process_sandbox._cell(OTHER)
    secret.make()
    (secret.host_home / "secret").write_text("another user's")
    (secret.host_home / "secret").chmod(0o666)
    look = f"cat {secret.host_home}/secret; ls /home /root {secret.folder}; "
    look += f"touch /usr/x /etc/x {box.objects}/x; id -u"
    done = await process_sandbox.exec(box, ["sh", "-c", look])
    assert b"another user's" not in done.stdout
    *listed, uid = done.stdout.split()
    assert listed == [b"/home:", b"opencode"]
    assert uid != b"0"
    assert done.stderr.count(b"Read-only file system") + done.stderr.count(b"Permission denied") == 3
    seen = await process_sandbox.exec(box, ["sh", "-c", "ls -d /proc/[0-9]* | wc -l"])
    assert int(seen.stdout) < 10, "processes of the machine are seen inside"
