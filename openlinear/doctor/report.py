"""All checks at once, and what they found as text or JSON."""

import asyncio
import json
import os
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, replace

from pydantic import ValidationError

from engine.logs import known_secrets, scrub
from openlinear.doctor import database, engine, home, machine, network, web
from openlinear.doctor.finding import Away, Check, Finding, Ground, warn, wrong
from openlinear.settings import Settings

CHECKS: tuple[Check, ...] = (*machine.CHECKS, *home.CHECKS, *database.CHECKS, *engine.CHECKS, *web.CHECKS)
PATIENCE_SECONDS = 12.0
WIDTH = 100


async def examine(*, ask_remotes: bool = False) -> list[Finding]:
    """Every finding, in the order of the checks. With `ask_remotes`, the projects' servers are tried too."""
    settings, amiss = _settings()
    ground = Ground(settings)
    checks = (*CHECKS, *(network.CHECKS if ask_remotes else ()))
    found = await asyncio.gather(*(_looked(check, ground) for check in checks))
    return [_scrubbed(finding) for finding in (*amiss, *found) if finding is not None]


def _scrubbed(finding: Finding) -> Finding:
    """What a library said of a URL may hold the URL."""
    secrets = known_secrets(os.environ)
    return replace(finding, text=scrub(finding.text, secrets), cure=scrub(finding.cure, secrets))


async def _looked(check: Check, ground: Ground) -> Finding | None:
    name = check.__name__.replace("_", " ").capitalize()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await check(ground)
    except Away:
        return None
    except TimeoutError:
        return warn(
            name, f"No answer came within {PATIENCE_SECONDS:.0f} s.", "Try again when there is less to do."
        )
    except Exception as error:  # one check's bug must not hide what the others found
        return warn(name, f"This could not be looked at ({type(error).__name__}).", "Report it as a bug.")


def _settings() -> tuple[Settings, list[Finding]]:
    """The settings, with the default for each that is wrong, and what is wrong."""
    try:
        return Settings(), []
    except ValidationError as error:
        problems = error.errors(include_input=False)
    found = [
        wrong(
            "Settings",
            f"{str(problem['loc'][0]).upper()}: {problem['msg'].removeprefix('Value error, ')}.",
            "Correct it where OpenLinear is started; the checks below take its default.",
        )
        for problem in problems
        if problem["loc"]
    ]
    fields = {str(problem["loc"][0]) for problem in problems if problem["loc"]}
    defaults = {name: Settings.model_fields[name].get_default(call_default_factory=True) for name in fields}
    return Settings(**defaults), found


def as_text(findings: Sequence[Finding]) -> str:
    """A line each, aligned, the cure below."""
    wide = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.level:<8} {finding.name:<{wide}}  {finding.text}")
        if finding.cure:
            indent = " " * (wide + 11)
            lines += textwrap.wrap(
                finding.cure, WIDTH + wide, initial_indent=f"{indent}-> ", subsequent_indent=f"{indent}   "
            )
    errors = sum(finding.level == "error" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    lines.append(f"{len(findings)} checks: {errors} errors, {warnings} warnings.")
    return "\n".join(lines)


def as_json(findings: Sequence[Finding]) -> str:
    well = all(finding.level != "error" for finding in findings)
    return json.dumps({"ok": well, "checks": [asdict(finding) for finding in findings]}, indent=2)
