"""Opening a folder before its first prompt, so that the prompt does not wait for it.

What a session needs of its folder, OpenCode starts when it is first asked for: tools, agents and
providers at a request of their own, the rest at a prompt and at nothing else. So a prompt is rehearsed,
in a session that is thrown away, to a provider that nobody listens for: all is made ready, no model is
asked. None of it looks at the folder's files, with projects' own configuration switched off; `.git` has
to be there, since whether the folder is a repository is settled here.
"""

import asyncio
from typing import Any

from engine.agents.opencode_api import Server

PROVIDER = "rehearsal"
MODEL = "none"
CONFIG: dict[str, Any] = {
    "name": "Rehearsal",
    "npm": "@ai-sdk/openai-compatible",
    # The port that discards: connections are refused at once.
    "options": {"baseURL": "http://127.0.0.1:9/v1", "apiKey": "none"},
    "models": {MODEL: {"name": "None", "tool_call": True}},
}


async def rehearse(server: Server) -> None:
    """Rehearse a prompt in the server's folder. Returns when the model would have been asked."""
    session = await server.post("/session", {"title": "Rehearsal"})
    if session is None:
        return
    path = f"/session/{session['id']}"
    prompt = {
        "model": {"providerID": PROVIDER, "modelID": MODEL},
        "parts": [{"type": "text", "text": "Nothing to do."}],
    }
    await server.post(f"{path}/prompt_async", prompt)
    await _until_refused(server, session["id"])
    await server.post(f"{path}/abort")
    await server.delete(path)


async def _until_refused(server: Server, session_id: str) -> None:
    """Until the session waits to try its model again, or has given up."""
    begun = False
    while True:
        status = (await server.get("/session/status") or {}).get(session_id, {"type": "idle"})["type"]
        if status == "retry" or (begun and status == "idle"):
            return
        begun = begun or status == "busy"
        await asyncio.sleep(0.02)
