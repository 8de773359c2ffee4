"""A fake at the Sandbox port: `exec` as a local process, for tests of what is run inside one."""

import asyncio
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from uuid import UUID, uuid4

import pytest

from engine.errors import RunError
from engine.ports import Box, Finished


class LocalSandbox:
    """Only what workspaces need of the port; `root` stands for the inside of the sandbox."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.user_id: UUID = uuid4()
        (root / "repos").mkdir(parents=True)
        self.box = Box(
            self.user_id,
            "http://127.0.0.1:0",
            "",
            PurePosixPath(root / "repos"),
            PurePosixPath(root / "objects"),
        )

    def shared_objects(self, user_id: UUID) -> Path:
        return self.root / "objects"

    async def exec(
        self,
        box: Box,
        argv: Sequence[str],
        *,
        cwd: PurePosixPath | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        stdout: BinaryIO | None = None,
        limit: int = 8 << 20,
        timeout: float = 60.0,
    ) -> Finished:
        def run() -> Finished:
            inside = {"PATH": "/usr/bin:/bin", "HOME": str(self.root), **(env or {})}
            try:
                done = subprocess.run(
                    argv, cwd=cwd, env=inside, input=stdin, capture_output=True, timeout=timeout, check=False
                )
            except subprocess.TimeoutExpired as error:
                raise RunError("The command did not end in time.", "timeout") from error
            if len(done.stdout) > limit:
                raise RunError("The command said too much.", "limit")
            if stdout is None:
                return Finished(done.returncode, done.stdout, done.stderr)
            stdout.write(done.stdout)
            return Finished(done.returncode, b"", done.stderr)

        return await asyncio.to_thread(run)


@pytest.fixture
def local_sandbox(tmp_path: Path) -> LocalSandbox:
    return LocalSandbox(tmp_path / "sandbox")
