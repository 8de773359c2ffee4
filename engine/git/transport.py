"""Talking to a remote: one checked connection per call, and errors told apart for a person."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import RunError
from engine.git.addresses import resolve
from engine.git.command import GitError, Output, git
from engine.git.credentials import lend
from engine.git.failures import empty, explain
from engine.git.remote import Remote, check_branch
from engine.ports import Credential

ASK_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Found:
    """What a remote says of itself. The default branch is None when its HEAD names none."""

    default_branch: str | None
    branches: tuple[str, ...]


async def talk(
    remote: Remote,
    credential: Credential | None,
    *args: str,
    git_dir: Path | None = None,
    held: Sequence[int] = (),
    accept: Sequence[int] = (0,),
    timeout: float,
) -> Output:
    """`git *args` with all that a call to this remote needs; RunError says what went wrong.

    `held` are descriptors of locks that the process keeps for as long as it lives.
    """
    with lend(remote, credential) as lent:
        try:
            return await git(
                *await _connection(remote),
                *lent.config,
                *args,
                environment={"GIT_ALLOW_PROTOCOL": "file" if remote.scheme == "demo" else "https:http"}
                | lent.environment,
                git_dir=git_dir,
                descriptors=(*lent.descriptors, *held),
                accept=accept,
                timeout=timeout,
            )
        except GitError as error:
            raise explain(error, remote, credential) from error


async def _connection(remote: Remote) -> Iterable[str]:
    """Options that hold git to the addresses that were checked, and to this one host."""
    if remote.scheme == "demo":
        return []
    options = {"http.followRedirects": "false", "http.lowSpeedLimit": "1", "http.lowSpeedTime": "60"}
    addresses = await resolve(remote.scheme, remote.host, remote.port, allow_local=remote.allow_local)
    if addresses and ":" not in remote.host:
        shown = ",".join(f"[{address}]" if ":" in address else address for address in addresses)
        options["http.curloptResolve"] = f"{remote.host}:{remote.port}:{shown}"
    return [part for key, value in options.items() for part in ("-c", f"{key}={value}")]


async def probe(remote: Remote, credential: Credential | None) -> Found:
    """Ask the remote for its branches; RunError when it cannot be read, or holds nothing yet."""
    output = await _ask(remote, credential, "--symref", remote.url, "HEAD", "refs/heads/*")
    default, branches = None, []
    for line in output.stdout.decode(errors="replace").splitlines():
        value, _, name = line.partition("\t")
        if name == "HEAD" and value.startswith("ref: refs/heads/"):
            default = value.removeprefix("ref: refs/heads/")
        elif name.startswith("refs/heads/"):
            branches.append(name.removeprefix("refs/heads/"))
    if not branches:
        raise empty()
    return Found(default if default in branches else None, tuple(branches))


async def remote_tip(remote: Remote, credential: Credential | None, branch: str) -> str | None:
    """The commit that a branch of the remote is at now; None when there is no such branch."""
    name = f"refs/heads/{check_branch(branch)}"
    output = await _ask(remote, credential, remote.url, name)
    for line in output.stdout.decode(errors="replace").splitlines():
        sha, _, found = line.partition("\t")
        if found == name:
            return sha
    return None


async def _ask(remote: Remote, credential: Credential | None, *args: str) -> Output:
    try:
        return await talk(remote, credential, "ls-remote", "--quiet", *args, timeout=ASK_SECONDS)
    except RunError as error:
        if error.kind != "timeout":
            raise
        raise RunError(
            f"{remote.host} did not answer within {ASK_SECONDS:g} seconds. Try again later.", "timeout"
        ) from error
