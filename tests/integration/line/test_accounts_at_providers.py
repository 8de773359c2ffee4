"""Connecting a provider by an account, and trying what is connected: by the real OpenCode, in its container.

A small plugin in that container offers a provider with a sign-in by code, as OpenCode's own plugins do.
"""

import json
from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest

from openlinear import vault
from openlinear.services.credentials import ACCOUNT
from tests.support.aftermath import inside
from tests.support.stack import Json, Person, Stack, register

AUTH = "~/.local/share/opencode/auth.json"
PLUGIN = """
export const SignIn = async () => ({
  auth: {
    provider: "anthropic",
    methods: [{
      type: "oauth",
      label: "On this machine",
      authorize: async () => ({
        url: "https://sign-in.example.org/page?redirect_uri=http%3A%2F%2Flocalhost%3A1455%2Fcallback",
        method: "auto",
        instructions: "",
        callback: async () => ({ type: "failed" }),
      }),
    }, {
      type: "oauth",
      label: "By code",
      authorize: async (inputs) => ({
        url: "https://sign-in.example.org/page",
        method: "code",
        instructions: `Bring the code back to ${inputs?.instance ?? "us"}.`,
        callback: async (code) => code === "the-code-of-the-page"
          ? { type: "success", access: "access-token-1", refresh: "refresh-token-1", expires: 1000 }
          : { type: "failed" },
      }),
    }],
  },
})
"""


@pytest.fixture
async def alan(stack: Stack) -> AsyncIterator[Person]:
    """Somebody with a container of his own, in which the plugin is."""
    async with httpx.AsyncClient(base_url=stack.url, timeout=90) as http:
        person = await register(stack, http, "Alan Turing", "alan@example.org")
        await person.connect_model()
        yield person


async def _tried(person: Person, provider: str = "scripted") -> Json:
    told: Json = await person.ask("POST", "/opencode/auth/test", body={"providerId": provider})
    return told


def _kept(person: Person) -> Json | None:
    query = "SELECT account_secret FROM provider_keys WHERE user_id = %s AND provider_id = 'anthropic'"
    rows = person.stack.rows(query, UUID(person.id))
    if not rows or rows[0][0] is None:
        return None
    box = vault._keys(person.stack.environment["OPENLINEAR_SECRET_KEY"], ACCOUNT)
    kept: Json = json.loads(box.decrypt(rows[0][0].encode()))
    return kept


async def test_what_is_connected_is_tried_and_an_account_is_signed_in_to(alan: Person) -> None:
    assert await _tried(alan) == {"works": True, "reason": None}
    await alan.connect_model("a key that is refused")
    refused = await _tried(alan)
    assert not refused["works"]
    assert "refused the key" in refused["reason"]
    model = alan.stack.model
    nowhere = {
        "baseUrl": "http://host.docker.internal:9/v1",
        "models": [model.model],
        "apiKey": "a key of ours",
    }
    await alan.ask("POST", "/opencode/auth", body={"providerId": "nowhere", **nowhere})
    assert "could not be reached" in (await _tried(alan, "nowhere"))["reason"]
    await alan.ask("POST", "/opencode/auth/test", expect=404, body={"providerId": "google"})
    await _signs_in(alan)


async def _signs_in(alan: Person) -> None:
    folder = "~/.config/opencode/plugin"
    await inside(alan, f"mkdir -p {folder}; cat > {folder}/sign-in.js <<'END'\n{PLUGIN}\nEND")
    code = {"providerId": "anthropic", "code": "the-code-of-the-page"}
    await alan.ask("POST", "/opencode/auth/oauth/callback", expect=409, body=code)
    begin = "/opencode/auth/oauth/authorize"
    for elsewhere in ("anthropic", "openai"):  # the first way of the plugin's, and of OpenCode's own
        refused = await alan.ask("POST", begin, expect=422, body={"providerId": elsewhere, "method": 0})
        assert "leads back to the machine that agents run on" in json.dumps(refused)
    wish = {"providerId": "anthropic", "inputs": {"instance": "our place"}}
    page = await alan.ask("POST", begin, body=wish)
    assert page["url"] == "https://sign-in.example.org/page"
    assert (page["method"], page["instructions"]) == ("code", "Bring the code back to our place.")
    assert not alan.stack.rows("SELECT 1 FROM provider_sign_ins WHERE code_secret IS NOT NULL")
    wrong = {**code, "code": "a wrong one"}
    await alan.ask("POST", "/opencode/auth/oauth/callback", expect=422, body=wrong)
    assert _kept(alan) is None
    # A code is tried once: the sign-in begins again.
    await alan.ask("POST", "/opencode/auth/oauth/callback", expect=409, body=code)
    await alan.ask("POST", "/opencode/auth/oauth/authorize", body={"providerId": "anthropic"})
    connected = await alan.ask("POST", "/opencode/auth/oauth/callback", body=code)
    assert (connected["connected"], connected["by"]) == (True, "account")
    assert "token" not in json.dumps(connected)
    kept = _kept(alan)
    assert kept is not None
    assert kept["refresh"] == "refresh-token-1"
    await _is_renewed_and_given_up(alan)


async def _is_renewed_and_given_up(alan: Person) -> None:
    """OpenCode renews tokens in its file; the vault takes the later ones, and never goes back."""
    for token, expires, wanted in (("renewed", 3000, "renewed"), ("outdated", 2000, "renewed")):
        change = f"d['anthropic'].update(access='{token}', expires={expires})"
        await inside(
            alan,
            f"python3 -c \"import json,os; p=os.path.expanduser('{AUTH}'); d=json.load(open(p)); "
            f"{change}; json.dump(d, open(p, 'w'))\"",
        )
        await _tried(alan)
        kept = _kept(alan)
        assert kept is not None
        assert kept["access"] == wanted
        assert json.loads(await inside(alan, f"cat {AUTH}"))["anthropic"]["access"] == wanted
    await alan.ask("DELETE", "/opencode/auth?providerId=anthropic", expect=204)
    await _tried(alan)
    assert "anthropic" not in json.loads(await inside(alan, f"cat {AUTH}"))
