"""Put one demo card through a running OpenLinear, by HTTP alone, and time it.

`python tests/e2e/demo_card.py http://localhost:3001`; exit code 0 when the card is done and has a diff.
"""

import secrets
import sys
import time
from typing import Any

import httpx

HEALTHY_SECONDS = 60.0
CARD_SECONDS = 300.0
ENDS = ("done", "failed", "cancelled")


def until_healthy(client: httpx.Client) -> dict[str, Any]:
    """The answer of /health once everything behind it is up."""
    deadline = time.monotonic() + HEALTHY_SECONDS
    while True:
        try:
            answer = client.get("/health")
            if answer.status_code == 200:
                found: dict[str, Any] = answer.json()
                return found
            last = answer.text
        except httpx.TransportError as error:
            last = str(error)
        if time.monotonic() > deadline:
            sys.exit(f"not healthy after {HEALTHY_SECONDS:.0f} s: {last}")
        time.sleep(0.2)


def take(answer: httpx.Response, status: int) -> Any:
    if answer.status_code != status:
        sys.exit(
            f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:500]}"
        )
    return answer.json()


def main(origin: str) -> None:
    with httpx.Client(base_url=origin, timeout=30) as client:
        print("healthy:", until_healthy(client))
        person = {
            "name": "Ada Demo",
            "email": f"ada-{secrets.token_hex(4)}@example.org",
            "password": secrets.token_urlsafe(16),
        }
        token = take(client.post("/api/auth/register", json=person), 201)["token"]
        client.cookies.clear()  # a program of its own: the token, not the browser's cookie
        client.headers["Authorization"] = f"Bearer {token}"
        demo = take(client.post("/api/demo"), 201)
        task = demo["tasks"][0]["id"]
        print(f"demo project {demo['project']['name']!r} with {len(demo['tasks'])} cards")
        began = time.monotonic()
        take(client.post(f"/api/tasks/{task}/execute"), 202)
        last = ""
        while last not in ENDS:
            card = take(client.get(f"/api/tasks/{task}"), 200)
            if card["executionStatus"] != last:
                last = card["executionStatus"]
                print(f"  {time.monotonic() - began:6.1f} s  {last}")
            if time.monotonic() - began > CARD_SECONDS:
                sys.exit(f"the card is still {last} after {CARD_SECONDS:.0f} s")
            time.sleep(0.2)
        if last != "done":
            sys.exit(f"the card ended as {last}: {card.get('executionError')}")
        diff = client.get(f"/api/tasks/{task}/diff")
        if diff.status_code != 200 or "diff --git" not in diff.text:
            sys.exit(f"no diff: {diff.status_code} {diff.text[:200]}")
        print(f"done in {time.monotonic() - began:.1f} s, a diff of {len(diff.text)} characters")


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"))
