"""A user's model providers, written where OpenCode reads them, inside the sandbox.

Two files: `auth.json`, which holds the keys and is read at every use, and `openlinear.json`, named to the
server by `OPENCODE_CONFIG`, which is read whenever OpenCode opens a folder it does not know. Each run has
a folder of its own, so a change reaches the next run and leaves running ones alone. Changing the global
config over HTTP would take effect too, but disposes of every session at work.
"""

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

from engine.agents import demo_cards, demo_model, opencode_warm
from engine.errors import RunError
from engine.ports import Box, ProviderKey, Sandbox

SCHEMA = "https://opencode.ai/config.json"
COMPATIBLE = "@ai-sdk/openai-compatible"
KNOWN: dict[str, tuple[str, tuple[str, ...]]] = {
    "anthropic": ("@ai-sdk/anthropic", ("claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5")),
    "openai": ("@ai-sdk/openai", ("gpt-5.1", "gpt-5.1-codex", "gpt-5-mini")),
    "google": (COMPATIBLE, ("gemini-2.5-pro", "gemini-2.5-flash")),
    "openrouter": (COMPATIBLE, ("anthropic/claude-sonnet-4.5", "openai/gpt-5.1")),
}
"""Providers that need a key alone: the SDK, and the models offered when the user names none."""

ADDRESSES = {
    "google": "https://generativelanguage.googleapis.com/v1beta/openai",
    "openrouter": "https://openrouter.ai/api/v1",
}
"""Where those are that have no SDK of their own here."""

LIMITS = {
    "anthropic": (200_000, 32_000),
    "openai": (272_000, 64_000),
    "google": (1_000_000, 64_000),
    "openrouter": (200_000, 32_000),
}
OTHER_LIMITS = (128_000, 16_384)
"""Tokens of context and of one answer, for when OpenCode shortens a conversation."""

DEMO_STATE = "~/.local/share/opencode/demo-model.json"

STORE = r"""
import fcntl, json, os, pathlib, sys, time

def write(path, value):
    text = json.dumps(value, indent=1, sort_keys=True)
    if path.is_file() and path.read_text() == text:
        return
    fresh = path.with_name(path.name + ".new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)

def load(path):
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}

def is_renewed(there, account):
    # Agents can write that file as well, and what is there must not stay for ever.
    if not isinstance(there, dict) or there.get("type") != "oauth":
        return False
    expires, limit = there.get("expires"), (time.time() + 366 * 24 * 3600) * 1000
    tokens = all(isinstance(there.get(name), str) for name in ("access", "refresh"))
    return tokens and type(expires) is int and account.get("expires", 0) < expires <= limit

def answers(state):
    import urllib.request  # takes longer than all the rest
    request = urllib.request.Request(f"http://127.0.0.1:{state['port']}/v1/models")
    request.add_header("Authorization", "Bearer " + state["key"])
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        return direct.open(request, timeout=2).status == 200
    except OSError:
        return False

wanted = json.load(sys.stdin)
data = pathlib.Path("~/.local/share/opencode").expanduser()
config = pathlib.Path("~/.config/opencode").expanduser()
data.mkdir(parents=True, exist_ok=True)
config.mkdir(parents=True, exist_ok=True)
if wanted["demo"]:
    deadline = time.monotonic() + 10
    state = load(pathlib.Path(wanted["demo_state"]).expanduser())
    while not (state and answers(state)):
        if time.monotonic() > deadline:
            sys.exit(3)
        time.sleep(0.05)
        state = load(pathlib.Path(wanted["demo_state"]).expanduser())
    demo = wanted["config"]["provider"]["demo"]
    demo["options"]["baseURL"] = f"http://127.0.0.1:{state['port']}/v1"
    wanted["keys"]["demo"] = state["key"]
with open(data / ".openlinear.lock", "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    before = load(data / "auth.json")
    providers, demo = load(config / "openlinear.json").get("provider"), before.get("demo")
    if not wanted["demo"] and isinstance(demo, dict) and isinstance(providers, dict) and "demo" in providers:
        # Another run of this user may be about to open its session with it.
        wanted["keys"]["demo"] = demo.get("key")
        wanted["config"]["provider"]["demo"] = providers["demo"]
    auth = {name: {"type": "api", "key": key} for name, key in wanted["keys"].items()}
    for name, account in wanted["accounts"].items():
        there = before.get(name)  # the server renews tokens in this file
        auth[name] = there if is_renewed(there, account) else account
    write(data / "auth.json", auth)
    write(config / "openlinear.json", wanted["config"])
"""
"""Runs inside the sandbox; keys come over stdin. Atomic, and safe beside another run's."""


def provider_config(key: ProviderKey) -> dict[str, Any] | None:
    """OpenCode's entry for this provider, without the key; None when its SDK and address are unknown."""
    npm, models = KNOWN.get(key.provider, ("", ()))
    if key.base_url:
        npm = COMPATIBLE
    if not npm:
        return None
    context, output = OTHER_LIMITS if key.base_url else LIMITS[key.provider]
    entry: dict[str, Any] = {"name": key.provider, "npm": npm, "options": {}, "models": {}}
    if address := key.base_url or ADDRESSES.get(key.provider):
        entry["options"]["baseURL"] = address
    for model in key.models or models:
        entry["models"][model] = {
            "name": model,
            "tool_call": True,
            "limit": {"context": context, "output": output},
        }
    return entry


def demo_config() -> dict[str, Any]:
    """The demo model's entry; its port is known only inside."""
    model = {"name": demo_cards.LABEL, "tool_call": True, "limit": {"context": 128_000, "output": 16_384}}
    return {"name": demo_cards.LABEL, "npm": COMPATIBLE, "options": {}, "models": {demo_cards.MODEL: model}}


def wanted(keys: Sequence[ProviderKey], *, demo: bool) -> dict[str, Any]:
    """What `store` writes: exactly these providers, and the demo model beside them when `demo` says so."""
    keys = [key for key in keys if key.provider != demo_cards.PROVIDER]
    entries = {key.provider: provider_config(key) for key in keys}
    config = {name: entry for name, entry in entries.items() if entry}
    config[opencode_warm.PROVIDER] = opencode_warm.CONFIG
    if demo:
        config[demo_cards.PROVIDER] = demo_config()
    return {
        "keys": {key.provider: key.api_key for key in keys if key.account is None},
        "accounts": {key.provider: dict(key.account) for key in keys if key.account is not None},
        # OpenCode rewrites a file that does not name its schema.
        "config": {"$schema": SCHEMA, "provider": config},
        "demo": demo,
        "demo_state": DEMO_STATE,
    }


async def store(sandbox: Sandbox, box: Box, wanted: Mapping[str, Any], *, pace: float) -> None:
    """Make these providers known to OpenCode, and start the demo model where it is wanted."""
    if wanted["demo"]:
        source = inspect.getsource(demo_model).encode()
        await sandbox.spawn(box, "demo-model", ["python3", "-", DEMO_STATE, str(pace)], stdin=source)
    done = await sandbox.exec(box, ["python3", "-c", STORE], stdin=json.dumps(wanted).encode(), timeout=30)
    if done.exit_code == 3:
        raise RunError("The demo model did not start in your sandbox. Press Execute again.", "sandbox")
    if done.exit_code != 0:
        # Its error output may quote what it read, so it is not passed on.
        reason = f"The provider keys could not be written into your sandbox (exit code {done.exit_code})."
        raise RunError(f"{reason} Check that its disk is not full.", "sandbox")
