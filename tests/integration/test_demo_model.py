"""The three demo cards, done by the real agent on the real demo repository."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import engine
from engine.agents.demo_cards import CARDS, MODEL, PROVIDER
from tests.support.opencoderun import Run
from tests.support.opencodeserver import OpenCodeServer, git

DEMO_REPOSITORY = Path(engine.__file__).parent / "git" / "demo_repo"
Workspaces = Callable[[Mapping[str, str] | Path], Path]
CHANGED = {
    "Fix rounding in the cart total": {"cart/prices.py", "tests/test_prices.py"},
    "Validate discounts": {"cart/discounts.py", "tests/test_discounts.py"},
    "Document usage in the README": {"README.md", "tests/test_readme.py"},
}
PROVES = {
    "Fix rounding in the cart total": "from cart import total; assert total([('sticker', 0.29, 1)]) == 0.29",
    "Validate discounts": (
        "from cart import percent_off\n"
        "try: percent_off(1, 150)\n"
        "except ValueError: pass\n"
        "else: raise SystemExit(1)"
    ),
    "Document usage in the README": "assert '## Usage' in open('README.md').read()",
}


def python(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *args], cwd=folder, capture_output=True, text=True, check=False)


async def run_card(server: OpenCodeServer, folder: Path, prompt: str) -> Run:
    run = Run(server, folder, PROVIDER, MODEL)
    await run.agent.prepare(server.box, run.directory, [], demo=True)
    # Another run of the same user, on a real model, begins at the same time.
    await run.agent.prepare(server.box, run.directory / "other", [], demo=False)
    await run.begin(prompt)
    await run.finish()
    return run


@pytest.mark.parametrize(("title", "description"), CARDS)
async def test_a_card_is_really_done(
    title: str, description: str, opencode_server: OpenCodeServer, workspace: Workspaces
) -> None:
    folder = workspace(DEMO_REPOSITORY)
    base = git(folder, "rev-parse", "HEAD")
    assert python(folder, "-c", PROVES[title]).returncode != 0
    run = await run_card(opencode_server, folder, f"{title}\n\n{description}\n\nLabels: demo")

    assert not run.of("error")
    git(folder, "add", "-A")
    assert set(git(folder, "diff", "--cached", "--name-only", base).splitlines()) == CHANGED[title]
    tests = python(folder, "-m", "unittest", "-q")
    assert tests.returncode == 0, tests.stderr
    assert python(folder, "-c", PROVES[title]).returncode == 0
    assert ("completed", "run python3 -m unittest -q") in [
        (event.state, event.text) for event in run.of("tool")
    ]
    commits = git(folder, "rev-list", f"{base}..HEAD").splitlines()
    assert len(commits) == (1 if title == "Validate discounts" else 0)


async def test_anything_else_changes_nothing_and_says_so(
    opencode_server: OpenCodeServer, workspace: Workspaces
) -> None:
    folder = workspace(DEMO_REPOSITORY)
    run = await run_card(opencode_server, folder, "Rewrite it in Rust\n\nAll of it.")
    said = "".join(run.texts().values())
    assert "Demo model (scripted)" in said
    assert "under Settings" in said
    assert not run.of("tool")
    assert git(folder, "status", "--porcelain") == ""


async def test_a_card_that_is_done_already_is_not_done_again(
    opencode_server: OpenCodeServer, workspace: Workspaces
) -> None:
    folder = workspace({"cart/prices.py": "def total(items):\n    return 0\n"})
    run = await run_card(opencode_server, folder, CARDS[0][0])
    assert "cannot improvise" in "".join(run.texts().values())
    assert git(folder, "status", "--porcelain") == ""
