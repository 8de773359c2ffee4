"""Pages without a board."""

import reflex as rx

from openlinear.live import hub
from openlinear.pages.board import BoardState


class Elsewhere(rx.State):
    @rx.event
    async def arrive(self) -> None:
        """This connection looks at no board now: it is sent nothing of one, and reads it anew on return."""
        await hub.leave(self.router.session.session_id)
        (await self.get_state(BoardState)).reset()
