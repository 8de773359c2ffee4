"""What git's messages mean for whoever gave the clone URL."""

from engine.errors import Class, RunError
from engine.git.command import GitError, plain
from engine.git.remote import Remote
from engine.ports import Credential

_MEANINGS: tuple[tuple[tuple[str, ...], str, Class], ...] = (
    (
        ("returned error: 403", "HTTP 403"),
        "{where} refused access: the token may not do this. Give it read and write access to the repository.",
        "authentication",
    ),
    (
        ("returned error: 30", "redirect"),
        "{where} answered with a redirect, which is not followed. Use the address it leads to as clone URL.",
        "remote",
    ),
    (
        ("returned error: 429", "HTTP 429"),
        "{where} asks to wait: too many requests. Try again later.",
        "rate_limit",
    ),
    (
        ("returned error: 5", "HTTP 5"),
        "{where} has a problem of its own (a server error). Try again later.",
        "overload",
    ),
    (("Could not resolve host",), "The name {where} does not resolve. Check the clone URL.", "network"),
    (
        ("Connection refused", "Couldn't connect", "Failed to connect", "No route to host", "unreachable"),
        "{where} refused the connection: nothing answers there. Check host and port of the clone URL.",
        "network",
    ),
    (
        ("certificate", "SSL", "TLS", "gnutls"),
        "The secure connection to {where} failed: its certificate is not valid, or it does not speak https.",
        "network",
    ),
    (("timed out", "Operation too slow"), "{where} stopped answering. Try again later.", "timeout"),
    (
        ("is this a git repository", "invalid server response", "protocol error"),
        "{where} answered, but not as a git server. Check the clone URL.",
        "remote",
    ),
    (
        ("Empty reply", "early EOF", "hung up", "RPC failed", "Connection reset"),
        "The connection to {where} broke off. Try again.",
        "network",
    ),
)
_LOGIN = ("could not read Username", "Authentication failed", "returned error: 401", "HTTP 401")
_NOT_THERE = ("not found", "does not appear to be a git repository", "returned error: 404", "HTTP 404")


def explain(error: GitError, remote: Remote, credential: Credential | None) -> RunError:
    """Why git could not talk to a remote, and the cure."""
    where = remote.host or "The demo repository"
    own_lines = [line for line in error.stderr.splitlines() if not line.startswith("remote:")]
    said = "\n".join(own_lines).replace(remote.url, "")  # a repository may be named after an error
    if any(mark in said for mark in _LOGIN):
        return _login(where, credential)
    if any(mark in said for mark in _NOT_THERE):
        hint = "" if credential else " A private one needs a token."
        return RunError(
            f"{where} has no such repository, or hides it from this account. Check the clone URL.{hint}",
            "remote",
        )
    for marks, reason, kind in _MEANINGS:
        if any(mark in said for mark in marks):
            return RunError(reason.format(where=where), kind)
    secret = credential.password if credential else ""
    return RunError(f"git could not talk to {where}: {plain(said, secret)}", "network")


def empty() -> RunError:
    return RunError("The repository is empty: push a first commit, then try again.", "remote")


def _login(where: str, credential: Credential | None) -> RunError:
    if credential is None:
        return RunError(
            f"{where} asks for a login, or has no such repository. Add a token to the project or account.",
            "authentication",
        )
    return RunError(
        f"{where} did not accept the token: it is wrong, expired or revoked. {credential.cure}",
        "authentication",
    )
