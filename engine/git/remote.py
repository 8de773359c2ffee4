"""A project's remote: what a clone URL may be, and a clear answer for what it may not."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

from engine.errors import RunError
from engine.git.addresses import local_refused, names_local, normalise

_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f\\]|%0[0ad]", re.IGNORECASE)
_SCP_STYLE = re.compile(r"(?:[^@/]+@)?([A-Za-z0-9.-]+\.[A-Za-z0-9.-]+):(?!//)/?(.+)")
_REF_REFUSED = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|^[./-]|[./]$|^@$")


@dataclass(frozen=True, slots=True)
class Remote:
    """A remote that may be reached. `url` is what git is given; it never holds a credential."""

    url: str
    scheme: str
    """`https`, `http`, or `demo` for a bare repository on this machine, which `url` is the path of."""
    host: str = ""
    port: int = 0
    allow_local: bool = False

    @property
    def origin(self) -> str:
        """Scheme, host and port as the URL spells them: where its credential may go, and nowhere else."""
        return self.url[: self.url.index("/", len(self.scheme) + 3)]


def parse(url: str, *, allow_local: bool, demo_home: Path | None = None) -> Remote:
    """Read a clone URL; RunError says what is wrong with it and what to write instead.

    `demo_home`, the folder of demo repositories, is given only where the server itself made the
    URL: it is what lets `demo:{projectId}` in.
    """
    url = url.strip()
    if demo_home is not None and url.startswith("demo:"):
        return Remote(str(demo_home / f"{UUID(url.removeprefix('demo:'))}.git"), "demo")
    _refuse_what_is_no_url(url)
    try:
        parts = urlsplit(url)
        host, port = normalise(parts.hostname or ""), parts.port
    except ValueError:
        host, port = None, None
    if host is None or port == 0:
        raise _refused("The clone URL does not name a valid host.")
    _refuse_parts(parts, allow_local)
    if not allow_local and names_local(host):
        raise local_refused(host)
    shown = f"[{host}]" if ":" in host else host
    default = 443 if parts.scheme == "https" else 80
    netloc = shown if port in (None, default) else f"{shown}:{port}"
    return Remote(f"{parts.scheme}://{netloc}{parts.path}", parts.scheme, host, port or default, allow_local)


def _refuse_what_is_no_url(url: str) -> None:
    if not url:
        raise _refused("The clone URL is empty.")
    if len(url) > 2000 or not url.isascii() or _CONTROL.search(url):
        raise _refused("The clone URL holds characters that do not belong in one, or is over 2,000 long.")
    if url.startswith("-"):
        raise _refused("The clone URL begins with a dash, as an option of git would.")
    scheme, separator, _ = url.partition("://")
    scp_style = _SCP_STYLE.fullmatch(url)
    if scheme.lower() in ("ssh", "git+ssh", "ssh+git") and separator:
        parts = urlsplit(url)
        raise _ssh_refused(parts.hostname or "", parts.path.lstrip("/"))
    if scp_style and "::" not in url:
        raise _ssh_refused(scp_style[1], scp_style[2])
    if scheme.lower() not in ("https", "http") or not separator:
        kind = re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", url)
        what = f"{kind[0]} remotes are" if kind else "A path on this machine is"
        raise _refused(f"{what} not accepted as a clone URL.")


def _refuse_parts(parts: SplitResult, allow_local: bool) -> None:
    if parts.username is not None or parts.password is not None:
        raise RunError(
            "The clone URL holds a user name or password. Leave them out of it and use the fields for "
            "the remote's user name and password: there they are kept encrypted.",
            "remote",
        )
    if parts.query or parts.fragment:
        raise _refused("The clone URL has a ? or # part, which no repository has.")
    if len(parts.path) < 2:
        raise _refused("The clone URL names a host but no repository.")
    if parts.scheme == "http" and not allow_local:
        raise _refused("http: would send your credential in the clear.")


def _refused(what: str) -> RunError:
    return RunError(
        f"{what} Use the repository's https URL, such as https://host/owner/repository.git.", "remote"
    )


def _ssh_refused(host: str, path: str) -> RunError:
    return RunError(
        "ssh remotes are not accepted, since this server holds no ssh key of yours. "
        f"Use the https URL: https://{host}/{path}",
        "remote",
    )


def check_branch(name: str) -> str:
    """The name, when git would take it for a branch; RunError otherwise."""
    if not name or len(name.encode()) > 200 or _REF_REFUSED.search(name):
        raise RunError(
            "That is not a valid branch name. Use letters, digits, dots, dashes and slashes.", "remote"
        )
    return name
