"""Hosts that agents may be let reach: how one is written, and those that are on every list."""

import re

WEB_PORTS = (80, 443)
HOST = re.compile(
    r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(:[0-9]{1,5})?"
)
"""`example.com`, every name below it as `*.example.com`, either with a port that is not the web's."""

PROVIDERS = {
    "anthropic": ("api.anthropic.com",),
    "openai": ("api.openai.com", "auth.openai.com", "chatgpt.com"),
    "google": ("generativelanguage.googleapis.com",),
    "openrouter": ("openrouter.ai",),
}
"""Where the model providers are that need no address, and where OpenCode signs in to those that it can: an
account's tokens come from one host, its answers from another.
"""

REGISTRIES = (
    "registry.npmjs.org",
    "registry.yarnpkg.com",
    "pypi.org",
    "files.pythonhosted.org",
    "crates.io",
    "index.crates.io",
    "static.crates.io",
    "proxy.golang.org",
    "sum.golang.org",
    "rubygems.org",
    "index.rubygems.org",
    "repo.maven.apache.org",
    "repo1.maven.org",
    "plugins.gradle.org",
    "api.nuget.org",
    "repo.packagist.org",
    "repo.hex.pm",
    "deb.debian.org",
    "security.debian.org",
)
"""Where packages come from."""


def normal(text: str) -> str:
    """A host as it is compared. ValueError says what is wrong with it."""
    host = text.strip().lower().rstrip(".")
    if len(host) > 260 or not HOST.fullmatch(host):
        raise ValueError("must be a host such as example.com, *.example.com or example.com:8443")
    name, _, port = host.partition(":")
    if port and not 1 <= int(port) <= 65535:
        raise ValueError("has a port that is none")
    if name.startswith("*.") and "." not in name[2:]:
        raise ValueError("would take in a whole top-level domain")
    return host
