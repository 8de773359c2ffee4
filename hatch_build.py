"""Put into a wheel what is not Python: migrations, the worker image's folder, scripts, the built pages."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILES = {
    "alembic/env.py": "openlinear/_files/alembic/env.py",
    "alembic/script.py.mako": "openlinear/_files/alembic/script.py.mako",
    "alembic/versions": "openlinear/_files/alembic/versions",
    "docker/worker": "engine/sandbox/worker_image",
    "scripts/base-image": "engine/sandbox/base-image",
    "rxconfig.py": "rxconfig.py",
}
PAGES = ("build/client", "backend", "routes.json", "reflex.json")
"""What serving needs of Reflex's web folder; see openlinear/frontend.py."""


class Hook(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """An editable install reads it all from the checkout."""
        if version == "editable":
            return
        root = Path(self.root)
        if not (root / ".web" / "openlinear.stamp").exists():
            raise RuntimeError("The pages are not built yet: run `make build`, which builds both.")
        files = FILES | {f".web/{name}": f"openlinear/_files/web/{name}" for name in PAGES}
        for source, target in files.items():
            build_data["force_include"][str(root / source)] = target
