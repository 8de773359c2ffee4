"""What a clone URL may be. No network: names are resolved by a fake."""

import asyncio
import socket
import threading
from pathlib import Path
from uuid import uuid4

import pytest

from engine.errors import RunError
from engine.git.addresses import is_public, resolve
from engine.git.command import plain
from engine.git.remote import check_branch, parse

ASYNCIO_THREADS = 32
"""At most; what is over waits."""


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://github.com/acme/shop.git", "https://github.com/acme/shop.git"),
        ("  https://GitHub.COM./acme/shop \n", "https://github.com/acme/shop"),
        ("HTTPS://github.com:443/acme/shop", "https://github.com/acme/shop"),
        ("https://git.example.com:8443/a/b/c.git", "https://git.example.com:8443/a/b/c.git"),
        ("https://1.1.1.1/acme/shop", "https://1.1.1.1/acme/shop"),
        ("https://[2606:4700::1111]/acme/shop", "https://[2606:4700::1111]/acme/shop"),
    ],
)
def test_https_urls_are_taken(url: str, kept: str) -> None:
    remote = parse(url, allow_local=False)
    assert remote.url == kept
    assert remote.url.startswith(remote.origin + "/")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("--upload-pack=touch /tmp/x", "do not belong"),
        ("--upload-pack=x", "begins with a dash"),
        ("-u", "begins with a dash"),
        ("file:///etc", "file: remotes are not accepted"),
        ("ext::sh%20-c%20id", "ext: remotes are not accepted"),
        ("ext::sh -c id", "do not belong"),
        ("git://example.com/a/b", "git: remotes are not accepted"),
        ("demo:5b1e7c1e-6b0f-4b8e-9a55-0d5a0d2f6b7a", "demo: remotes are not accepted"),
        ("/srv/repo.git", "A path on this machine"),
        ("../repo.git", "A path on this machine"),
        ("git@github.com:acme/shop.git", "Use the https URL: https://github.com/acme/shop.git"),
        ("ssh://git@github.com:22/acme/shop.git", "Use the https URL: https://github.com/acme/shop.git"),
        ("https://me:secret@github.com/acme/shop", "Leave them out of it and use the fields"),
        ("https://me@github.com/acme/shop", "Leave them out of it and use the fields"),
        ("http://github.com/acme/shop", "in the clear"),
        ("https://github.com", "names a host but no repository"),
        ("https://github.com/", "names a host but no repository"),
        ("https://github.com/a?b=c", "has a ? or # part"),
        ("https://github.com/a#b", "has a ? or # part"),
        ("https:///acme/shop", "does not name a valid host"),
        ("https://a_b!c/acme", "does not name a valid host"),
        ("https://example.com:99999/a", "does not name a valid host"),
        ("https://example.com:0/a", "does not name a valid host"),
        ("https://[::1/a", "does not name a valid host"),
        ("https://example.com/a\x00b", "do not belong"),
        ("https://example.com/a\nb", "do not belong"),
        ("https://example.com/a%0ab", "do not belong"),
        ("https://example.com\\@10.0.0.1/a", "do not belong"),
        ("https://exämple.com/a", "do not belong"),
        ("https://example.com/" + "a" * 3000, "do not belong"),
    ],
)
def test_anything_else_is_refused_with_the_cure(url: str, words: str) -> None:
    with pytest.raises(RunError) as caught:
        parse(url, allow_local=False)
    assert words in caught.value.reason
    assert caught.value.kind == "remote"
    assert "secret" not in caught.value.reason


LOCAL = [
    "localhost",
    "LOCALHOST.",
    "git.localhost",
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[fc00::1]",
    "[fec0::1]",
    "metadata.google.internal",
    "nas.local",
    "git.corp",
    "intranet",
    "host.docker.internal",
    socket.gethostname(),
]


@pytest.mark.parametrize("host", LOCAL)
def test_this_host_and_private_networks_are_refused(host: str) -> None:
    with pytest.raises(RunError, match="ALLOW_LOCAL_REMOTES"):
        parse(f"https://{host}/acme/shop", allow_local=False)
    assert parse(f"http://{host}:3000/acme/shop", allow_local=True).port == 3000


@pytest.mark.parametrize(
    ("addresses", "fine"),
    [
        (["1.1.1.1"], True),
        (["1.1.1.1", "2606:4700::1111"], True),
        (["10.0.0.1"], False),
        (["1.1.1.1", "127.0.0.1"], False),
        (["::ffff:10.0.0.1"], False),
        (["fe80::1%eth0"], False),
    ],
)
async def test_names_are_judged_by_every_address_they_have(
    addresses: list[str], fine: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(0, 0, 0, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    assert await resolve("https", "git.example.com", 443, allow_local=True) == addresses
    if fine:
        assert await resolve("https", "git.example.com", 443, allow_local=False) == addresses
    else:
        with pytest.raises(RunError, match="private network"):
            await resolve("https", "git.example.com", 443, allow_local=False)


async def test_a_name_is_looked_up_while_all_other_threads_are_taken() -> None:
    """Name servers take seconds to give up, and passwords are compared in asyncio's own threads."""
    done = threading.Event()
    held = [asyncio.create_task(asyncio.to_thread(done.wait)) for _ in range(ASYNCIO_THREADS)]
    try:
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            assert await resolve("https", "127.0.0.1", 443, allow_local=True) == ["127.0.0.1"]
    finally:
        done.set()
        await asyncio.gather(*held)


def test_an_address_of_this_machine_is_never_public(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_public("1.1.1.1")
    monkeypatch.setattr(socket.socket, "bind", lambda *_: None)  # only a machine's own can be bound to
    assert not is_public("1.1.1.1")


async def test_a_proxy_of_the_operator_may_know_names_that_we_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(RunError, match="does not resolve"):
        await resolve("https", "git.example.com", 443, allow_local=False)
    monkeypatch.setenv("https_proxy", "http://proxy.example.com:3128")
    assert await resolve("https", "git.example.com", 443, allow_local=False) == []


def test_demo_remotes_are_the_servers_to_make() -> None:
    project_id = uuid4()
    remote = parse(f"demo:{project_id}", allow_local=False, demo_home=Path("/home/demo"))
    assert (remote.scheme, remote.url) == ("demo", f"/home/demo/{project_id}.git")
    with pytest.raises(ValueError, match="hexadecimal"):
        parse("demo:../../etc", allow_local=False, demo_home=Path("/home/demo"))


@pytest.mark.parametrize("name", ["main", "feature/one", "a-b_c.d", "ünïcode", "openlinear/3f", "x@y"])
def test_branch_names_that_git_takes(name: str) -> None:
    assert check_branch(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "-x", "a..b", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b", "a@{1}", "@", "a//b", "/a"),
        *("a/", "a.", "a/.b", ".a", "a.lock", "a.lock/b", "a\nb", "a\x7f", "x" * 201),
    ],
)
def test_branch_names_that_git_refuses(name: str) -> None:
    with pytest.raises(RunError, match="branch name"):
        check_branch(name)


def test_what_strangers_say_is_made_plain() -> None:
    said = "no\x1b[31m red\x1b[0m\x00\x07 secret-token\nsecond line\r\n" + "x" * 1000
    shown = plain(said, "secret-token")
    assert shown.startswith("no red … \nsecond line") or shown.startswith("no red …\nsecond line")
    assert len(shown) <= 600
    assert "secret" not in shown and all(character == "\n" or character.isprintable() for character in shown)
