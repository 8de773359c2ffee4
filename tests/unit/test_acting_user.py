"""Whatever the API and the pages call of the services takes the acting user, save what is listed here."""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import openlinear.services
from openlinear.services.views import Actor

ROOT = Path(openlinear.services.__file__).parents[1]
EDGES = (
    *ROOT.glob("api/*.py"),
    *ROOT.glob("pages/*.py"),
    *ROOT.glob("components/*.py"),
    *ROOT.glob("live*.py"),
)
WITHOUT = {
    "accounts.register": "there is no user yet",
    "accounts.login": "there is no user yet",
    "resets.ask": "who forgot their password cannot sign in",
    "resets.reset": "the link from their mail says who it is",
    "sign_in.end": "the provider says who comes back",
    "github_hooks.receive": "GitHub's signature says whose project it speaks for",
    "accounts.authenticate": "says who the acting user is",
    "accounts.over": "the web process ends what logins that ran out have open",
    "access.viewers": "the web process asks who may be sent what it has",
    "feed.latest_id": "a number that says nothing of anything",
}
"""By name: why it takes none."""


def services() -> dict[str, ModuleType]:
    names = [found.name for found in pkgutil.iter_modules(openlinear.services.__path__)]
    return {name: importlib.import_module(f"openlinear.services.{name}") for name in names}


def called(source: str, known: dict[str, ModuleType]) -> Iterator[str]:
    """What of the services this source names, as `module.function`: functions that reach the database."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("openlinear.services."):
            module = (node.module or "").rpartition(".")[2]
            yield from (f"{module}.{name.name}" for name in node.names)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in known:
            yield f"{node.value.id}.{node.attr}"


def _takes_actor(service: Callable[..., object]) -> bool:
    """By its name, or, where it is not looked at, by its type."""
    taken = inspect.signature(service).parameters
    return "actor" in taken or Actor in {one.annotation for one in taken.values()}


def test_the_api_and_the_pages_call_services_as_somebody() -> None:
    known = services()
    found: dict[str, set[str]] = {}
    for path in EDGES:
        for name in called(path.read_text(), known):
            module, _, function = name.partition(".")
            service = getattr(known[module], function, None)
            if inspect.iscoroutinefunction(service) and not _takes_actor(service):
                found.setdefault(name, set()).add(path.name)
    assert {name: where for name, where in found.items() if name not in WITHOUT} == {}
    assert WITHOUT.keys() - found.keys() == set(), "nobody calls these any more"
