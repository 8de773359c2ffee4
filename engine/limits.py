"""What a run may cost in time and money. Each bound is optional; the installation's settings end all."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from engine.errors import RunError
from engine.settings import EngineSettings


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one run; None where there is none of this kind."""

    wall_seconds: float | None = None
    """How long the agent may work, over all attempts; waiting for a person is not counted."""
    idle_seconds: float | None = None
    """How long it may give no sign of life."""
    tokens: int | None = None
    """Tokens in and out together, as the agent reports them."""
    dollars: float | None = None
    attempts: int | None = None
    """How often the run may be tried, the first time included."""

    @classmethod
    def of(cls, stored: dict[str, Any] | None, settings: EngineSettings) -> "Limits":
        """A run's limits as they apply: what its row says, never above the installation's."""
        own = cls(**{name: value for name, value in (stored or {}).items() if name in _NAMES})
        return strictest(
            [
                own,
                cls(
                    wall_seconds=settings.run_total_seconds,
                    idle_seconds=settings.run_idle_seconds,
                    tokens=settings.run_max_tokens,
                    dollars=settings.run_max_dollars,
                    attempts=settings.run_attempts,
                ),
            ]
        )

    def stored(self) -> dict[str, Any]:
        """As the run's row keeps them: what is set, JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None}


_NAMES = {field.name for field in fields(Limits)}


def strictest(layers: Iterable[Limits]) -> Limits:
    """The lowest bound of each kind that any layer sets."""
    layers = list(layers)
    lowest: dict[str, Any] = {}
    for name in _NAMES:
        bounds = [bound for layer in layers if (bound := getattr(layer, name)) is not None]
        lowest[name] = min(bounds, default=None)
    return Limits(**lowest)


def spent(limits: Limits, *, tokens: int, dollars: float) -> RunError | None:
    """Why a run that has used this much has to end; None while it may go on."""
    if limits.tokens is not None and tokens >= limits.tokens:
        return _over(f"{limits.tokens:,} tokens", f"It has used {tokens:,}.")
    if limits.dollars is not None and dollars >= limits.dollars:
        return _over(f"${limits.dollars:.2f}", f"It has cost ${dollars:.2f}.")
    return None


def out_of_time(limits: Limits, active: float) -> RunError | None:
    if limits.wall_seconds is not None and active > limits.wall_seconds:
        return _over(length(limits.wall_seconds), "Split the task, or raise the limit.")
    return None


def _over(limit: str, what: str) -> RunError:
    return RunError(f"The run reached its limit of {limit} and was stopped. {what}", "budget")


def length(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
