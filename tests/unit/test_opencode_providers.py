"""What OpenCode is told of providers and what is believed of its accounts, and how tool calls are named."""

import json
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from engine import egress_hosts
from engine.accounts import keep_accounts
from engine.agents.opencode_auth import accounts
from engine.agents.opencode_providers import (
    ADDRESSES,
    COMPATIBLE,
    KNOWN,
    LIMITS,
    STORE,
    provider_config,
    store,
    wanted,
)
from engine.agents.opencode_tools import edited_paths, title_of
from engine.errors import RunError
from engine.ports import Box, Finished, ProviderKey
from openlinear.services import providers

FOLDER = PurePosixPath("/work/run")
BOX = Box(uuid4(), "http://127.0.0.1:1", "password", FOLDER, FOLDER)


def _account(**changed: Any) -> dict[str, Any]:
    return {"type": "oauth", "access": "a", "refresh": "r", "expires": 1000, **changed}


class Recorder:
    """A sandbox in which every command ends at once, with this exit code."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code
        self.argv: list[str] = []
        self.stdin = b""

    async def exec(self, box: Box, argv: list[str], *, stdin: bytes, **_: Any) -> Finished:
        self.argv, self.stdin = argv, stdin
        return Finished(self.exit_code, b"", b"it quotes the-secret-key")


def test_a_compatible_endpoint_has_its_address_and_models() -> None:
    entry = provider_config(ProviderKey("acme", "k", "http://models.example/v1", ("small", "large")))
    assert entry is not None
    assert entry["npm"] == "@ai-sdk/openai-compatible"
    assert entry["options"] == {"baseURL": "http://models.example/v1"}
    assert list(entry["models"]) == ["small", "large"]


def test_what_people_are_offered_is_what_the_engine_and_the_network_know() -> None:
    offered = {provider: set(models) for provider, (_, models) in providers.KNOWN.items()}
    assert offered == {provider: set(models) for provider, (_, models) in KNOWN.items()}
    assert offered.keys() == LIMITS.keys() == egress_hosts.PROVIDERS.keys()
    for provider, address in ADDRESSES.items():
        assert urlsplit(address).hostname in egress_hosts.PROVIDERS[provider]
    assert ADDRESSES.keys() == {provider for provider, (npm, _) in KNOWN.items() if npm == COMPATIBLE}


@pytest.mark.parametrize(
    ("provider", "npm", "address"),
    [
        ("anthropic", "@ai-sdk/anthropic", None),
        ("openai", "@ai-sdk/openai", None),
        ("google", COMPATIBLE, "https://generativelanguage.googleapis.com/v1beta/openai"),
        ("openrouter", COMPATIBLE, "https://openrouter.ai/api/v1"),
    ],
)
def test_a_known_provider_needs_a_key_alone(provider: str, npm: str, address: str | None) -> None:
    entry = provider_config(ProviderKey(provider, "k"))
    assert entry is not None
    assert (entry["npm"], entry["options"].get("baseURL")) == (npm, address)
    assert entry["models"]
    elsewhere = provider_config(ProviderKey(provider, "k", "https://proxy.example/v1"))
    assert elsewhere is not None
    assert elsewhere["options"]["baseURL"] == "https://proxy.example/v1"
    named = provider_config(ProviderKey(provider, "k", models=("newer",)))
    assert named is not None
    assert list(named["models"]) == ["newer"]


def test_an_unknown_provider_without_an_address_is_left_out() -> None:
    assert provider_config(ProviderKey("acme", "k")) is None


async def test_keys_travel_over_stdin_alone_and_stay_out_of_errors() -> None:
    sandbox: Any = Recorder(1)
    with pytest.raises(RunError) as failed:
        await store(sandbox, BOX, wanted([ProviderKey("openai", "the-secret-key")], demo=False), pace=0)
    assert b"the-secret-key" in sandbox.stdin
    assert "the-secret-key" not in str(sandbox.argv)
    assert "the-secret-key" not in str(failed.value)
    assert failed.value.kind == "sandbox"


@pytest.mark.parametrize(
    ("tool", "given", "title"),
    [
        ("edit", {"filePath": "/work/run/src/app.py"}, "edit src/app.py"),
        ("read", {"filePath": "README.md"}, "read README.md"),
        ("read", {"filePath": "/etc/passwd"}, "read /etc/passwd"),
        ("bash", {"command": "pytest -q\nrm x", "description": "Tests"}, "run pytest -q"),
        ("grep", {"pattern": "def total"}, "search def total"),
        ("todowrite", {"todos": []}, "plan"),
        ("write", {}, "write"),
        ("some_mcp_tool", {"query": "weather"}, "some_mcp_tool weather"),
    ],
)
def test_titles_are_short(tool: str, given: dict[str, Any], title: str) -> None:
    assert title_of(tool, given, FOLDER) == title


def test_a_patch_names_every_file() -> None:
    files = [{"filePath": "/work/run/a.py"}, {"filePath": "/work/run/b.py", "movePath": "/work/run/c.py"}]
    assert edited_paths("apply_patch", {}, {"files": files}, FOLDER) == ["a.py", "c.py"]
    assert edited_paths("write", {"filePath": "/work/run/d.py"}, {}, FOLDER) == ["d.py"]
    assert edited_paths("bash", {"command": "touch e.py"}, {}, FOLDER) == []


FOR_EVER = int((time.time() + 400 * 24 * 3600) * 1000)
NONE = [
    {"type": "api", "key": "k"},
    _account(expires="x"),
    _account(expires=9e18),
    _account(expires=True),
    _account(expires=-1),
    _account(expires=FOR_EVER),
    _account(access=["a"]),
    _account(refresh="r" * 20_000),
    _account(access="a\nb"),
    "a string",
    None,
]


class Printed:
    """A sandbox in which every command prints this."""

    def __init__(self, output: bytes) -> None:
        self.output = output

    async def exec(self, *_: Any, **__: Any) -> Finished:
        return Finished(0, self.output, b"")


async def test_of_what_an_agent_may_have_written_only_accounts_are_believed() -> None:
    entries: dict[str, Any] = {f"none-{number}": entry for number, entry in enumerate(NONE)}
    entries["real"] = _account(accountId="id", enterpriseUrl="e.example", other={"more": 1}, scope="s" * 9999)
    sandbox: Any = Printed(json.dumps(entries).encode())
    assert await accounts(sandbox, BOX) == {"real": _account(accountId="id")}
    for nonsense in (b"", b"[]", b"[" * 100_000, b'"x"', b"\xff"):
        broken: Any = Printed(nonsense)
        assert await accounts(broken, BOX) == {}


async def test_a_finished_run_does_not_fail_for_tokens_that_cannot_be_kept() -> None:
    async def keep_account(*_: Any, **__: Any) -> None:
        raise OSError("the database is away")

    sandbox = Printed(json.dumps({"openai": _account()}).encode())
    here: Any = SimpleNamespace(sandbox=sandbox, product=SimpleNamespace(keep_account=keep_account))
    await keep_accounts(here, BOX.user_id, BOX, [ProviderKey("openai", "", account=_account())])


@pytest.mark.parametrize("there", [*NONE, _account(expires=999), _account(access="renewed", expires=2000)])
def test_a_renewed_account_stays_in_the_sandbox_and_nothing_else(there: Any, tmp_path: Path) -> None:
    path = tmp_path / ".local/share/opencode/auth.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"openai": there, "demo": "x"}))
    given = {"keys": {}, "accounts": {"openai": _account()}, "config": {}, "demo": False, "demo_state": "x"}
    run = [sys.executable, "-c", STORE]
    subprocess.run(run, input=json.dumps(given).encode(), env={"HOME": str(tmp_path)}, check=True)
    renewed = isinstance(there, dict) and there.get("access") == "renewed"
    assert json.loads(path.read_text()) == {"openai": there if renewed else _account()}
