"""What signed in, in a few words: for a person who looks through their logins, and nothing depends on it."""

import re

BROWSERS = (
    ("Edge", r"Edg(?:e|A|iOS)?/"),
    ("Opera", r"OPR/"),
    ("Firefox", r"Firefox/|FxiOS/"),
    ("Chrome", r"Chrome/|CriOS/"),
    ("Safari", r"Safari/"),
)
"""The first that fits: most also name those that follow."""
SYSTEMS = (
    ("iPhone", r"iPhone"),
    ("iPad", r"iPad"),
    ("Android", r"Android"),
    ("ChromeOS", r"CrOS"),
    ("Windows", r"Windows"),
    ("macOS", r"Mac OS X|Macintosh"),
    ("Linux", r"Linux|X11"),
)
LENGTH = 40


def named(user_agent: str) -> str:
    """`Firefox on Linux`; of a program its own first word; empty for nothing."""
    browser = _first(BROWSERS, user_agent)
    system = _first(SYSTEMS, user_agent)
    if browser and system:
        return f"{browser} on {system}"
    word = re.match(r"[\w.+-]*", user_agent.strip(), re.ASCII)
    return browser or (word.group()[:LENGTH] if word else "")


def _first(table: tuple[tuple[str, str], ...], text: str) -> str:
    return next((name for name, looks in table if re.search(looks, text)), "")
