"""The bar that turns chosen cards into a batch. What is chosen stays in the browser: see assets/ui."""

from typing import Any

import reflex as rx

CONFLICTS = (("skip", "Skip the task"), ("fail", "Fail the batch"), ("resolve", "Let the agent resolve it"))
"""What may become of a merge that conflicts, by its name in the settings."""


class BatchPart(rx.Component):
    library = "$/public/ui/batchbar.jsx"


class BatchBar(BatchPart):
    """Asks for a batch: the project, the tasks in their order, the mode and the rules."""

    tag = "BatchBar"
    board_name: rx.Var[str]
    live_name: rx.Var[str]
    rules: rx.Var[Any]
    most: rx.Var[int]
    conflicts: rx.Var[list[Any]]
    answered: rx.Var[int]
    refused: rx.Var[str]
    on_execute: rx.EventHandler[rx.event.passthrough_event_spec(str, list[str], str, dict[str, Any])]


class BatchStale(BatchPart):
    """Says when the open batch is newer than what its panel has read."""

    tag = "BatchStale"
    id: rx.Var[str]
    read: rx.Var[int]
    live_name: rx.Var[str]
    on_stale: rx.EventHandler[rx.event.no_args_event_spec]
