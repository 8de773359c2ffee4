"""Pushing a run's commit, and what a remote may say to it."""

from engine.errors import RunError
from engine.git.command import GitError, Output, plain
from engine.git.failures import explain
from engine.git.remote import Remote, check_branch
from engine.git.store import Store
from engine.git.transport import talk
from engine.ports import Credential

PUSH_SECONDS = 600.0


class BranchMoved(RunError):
    """The remote's branch is not where it was expected: somebody else pushed to it."""

    def __init__(self, branch: str) -> None:
        super().__init__(
            f"Somebody else pushed to {branch} meanwhile, and their commits are not overwritten. "
            "Run the task again.",
            "remote",
        )


async def push(
    store: Store,
    remote: Remote,
    credential: Credential | None,
    *,
    sha: str,
    branch: str,
    expected: str | None,
) -> None:
    """Put the remote's branch at `sha`, if it is at `expected` now (None: there is none) or at `sha` already.

    Raises BranchMoved when it is elsewhere, RunError with the remote's own words when it refused.
    """
    name = f"refs/heads/{check_branch(branch)}"
    output = await talk(
        remote,
        credential,
        *("push", "--porcelain", "--no-verify", "--recurse-submodules=no", "--no-follow-tags", "--no-signed"),
        *(f"--force-with-lease={name}:{expected or ''}", remote.url, f"{sha}:{name}"),
        git_dir=store.path,
        accept=(0, 1),
        timeout=PUSH_SECONDS,
    )
    if output.code != 0:
        raise _refusal(output, remote, credential, branch)


def _refusal(output: Output, remote: Remote, credential: Credential | None, branch: str) -> RunError:
    refused = [line for line in output.stdout.decode(errors="replace").splitlines() if line.startswith("!\t")]
    if not refused or "[remote failure]" in refused[0]:
        return explain(GitError(output.code, output.stderr), remote, credential)
    summary = refused[0].split("\t")[-1]
    if "(stale info)" in summary:
        return BranchMoved(branch)
    said = [
        line.removeprefix("remote:").strip()
        for line in output.stderr.splitlines()
        if line.startswith("remote:")
    ]
    words = plain(" ".join(filter(None, [summary, *said])), credential.password if credential else "")
    where = remote.host or "The demo repository"
    return RunError(f"{where} refused the push of {branch}: {words}", "remote")
