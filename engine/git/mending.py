"""Two works over one another in a workspace, their conflicts marked, for its agent to reconcile."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from engine.git.leftovers import lay_down
from engine.git.workspace import failed, run
from engine.ports import Box, Sandbox


async def lay_out(
    sandbox: Sandbox, box: Box, run_id: UUID, *, own: str, others: str, bundles: Sequence[Path]
) -> None:
    """Put the workspace at `own` with `others` merged over it, uncommitted. Done once, however often asked.

    `bundles` hold what the two add to the workspace's base. What git ignores stays as it is. RunError when
    the agent left no repository that this can be done in.
    """
    state = box.repos / f".{run_id}"
    for number, bundle in enumerate(bundles):
        await lay_down(sandbox, box, bundle, state / f"mend.{number}")
    finished = await run(sandbox, box, "mend", run_id, [own, others], timeout=600)
    if finished.exit_code != 0:
        raise failed("prepared for its conflict", finished)
