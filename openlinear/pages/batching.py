"""Making a batch of the cards that are chosen on the board."""

from dataclasses import dataclass
from typing import Any

import reflex as rx

from openlinear.components.acting import Personal, an_id
from openlinear.components.batch_bar import CONFLICTS, BatchBar
from openlinear.services import batches, preferences
from openlinear.services.errors import ServiceError

FLAGS = ("auto_approve", "stop_on_failure", "build_on_previous")


@dataclass(frozen=True)
class Rules:
    """How a batch runs unless somebody says otherwise."""

    auto_approve: bool = False
    stop_on_failure: bool = False
    build_on_previous: bool = False
    conflict_behavior: str = "skip"


class BatchingState(Personal, rx.State):
    most: int = 3
    rules: Rules = Rules()
    answered: int = 0
    refused: str = ""

    @rx.event
    async def load(self) -> None:
        async with self._acting() as (session, actor):
            chosen = await preferences.get_settings(session, actor)
        self.most = chosen.max_batch_size
        self.rules = Rules(
            chosen.auto_approve, chosen.stop_on_failure, chosen.build_on_previous, chosen.conflict_behavior
        )

    @rx.event
    async def execute(self, project_id: str, task_ids: list[str], mode: str, rules: dict[str, Any]) -> Any:
        """Start the batch and show it. Refused, the reason stays in the bar, and what was chosen chosen."""
        self.refused = ""
        try:
            wanted = batches.BatchInput([an_id(one) for one in task_ids], mode, **_own(rules))
            async with self._acting() as (session, actor):
                made = await batches.create(session, actor, wanted)
        except ServiceError as error:
            self.refused = str(error)
            return None
        else:
            return rx.redirect(f"/p/{made.project_id}/b/{made.id}")
        finally:
            self.answered += 1


def _own(rules: dict[str, Any]) -> dict[str, Any]:
    """What a browser says of the rules, as far as it is of the right kind; the service checks the rest."""
    own: dict[str, Any] = {name: rules[name] for name in FLAGS if isinstance(rules.get(name), bool)}
    behavior = rules.get("conflict_behavior")
    return {**own, "conflict_behavior": behavior} if isinstance(behavior, str) else own


def batch_bar(board: str, live: str) -> rx.Component:
    """`board` and `live` are the full names of their states."""
    return BatchBar.create(
        board_name=board,
        live_name=live,
        rules=BatchingState.rules,
        most=BatchingState.most,
        conflicts=[list(one) for one in CONFLICTS],
        answered=BatchingState.answered,
        refused=BatchingState.refused,
        on_execute=BatchingState.execute,
    )
