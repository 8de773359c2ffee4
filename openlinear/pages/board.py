"""The board: a project's four columns, live."""

from collections.abc import AsyncIterator
from typing import Any

import reflex as rx

from openlinear.components import shell, ui
from openlinear.components.acting import Personal, an_id
from openlinear.components.batch_lines import batch_lines
from openlinear.components.batches import Head, head_of
from openlinear.components.card import task_card
from openlinear.components.cards import Card, Column, Shown, card_of
from openlinear.components.notice import NoticeState, notice
from openlinear.live import LiveState, hub
from openlinear.pages.batch import BatchState
from openlinear.pages.batch_panel import batch_panel
from openlinear.pages.batching import batch_bar
from openlinear.pages.panel import task_panel
from openlinear.pages.task import PanelState
from openlinear.services import batches, boards, execution, feed, providers, tasks
from openlinear.services.errors import NotFound, ServiceError
from openlinear.services.views import BoardView

ROUTE = "/p/[at_project]/[[...splat]]"
COLUMNS = (
    ("todo", "Todo", "circle", "Nothing to do yet. Add a task above."),
    ("in_progress", "In Progress", "circle-dot", "Nothing runs. Execute a task from Todo."),
    ("done", "Done", "circle-check", "Finished tasks come here."),
    ("cancelled", "Cancelled", "circle-slash", "Drop a task here to give it up."),
)


class BoardState(Personal, rx.State):
    """What the server last read. `news` is the number of the last news that it holds."""

    project_id: str = ""
    name: str = ""
    demo_model: str = ""
    """Which model does the tasks of a demo project; empty for any other project."""
    todo: list[Card] = []
    in_progress: list[Card] = []
    done: list[Card] = []
    cancelled: list[Card] = []
    counts: dict[str, int] = {}
    cursors: dict[str, str] = {}
    """Of the finished columns that go on: where the next page begins."""
    batches: list[Head] = []
    """Those that are not over."""
    sizes: dict[str, int] = {}
    """How many tasks those had that are over, as far as they were read."""
    news: int = 0
    missing: bool = False
    add_error: str = ""
    added: int = 0
    _sid: str = ""

    @rx.event
    async def open(self) -> AsyncIterator[None]:
        """Join the project's room, then read its board: what happens in between is not missed.

        A new connection reads everything again, and shows what it has meanwhile; opening a task on the
        same board does not.
        """
        project_id, task_id = self._place()
        sid = self.router.session.session_id
        known = self._sid == sid and self.project_id == project_id
        if self.project_id != project_id:
            self._clear()
            yield
        async with self._acting() as (session, actor):
            try:
                wanted = an_id(project_id)
                if not await feed.may_see(session, actor, wanted):
                    raise NotFound("There is no such project.")
                await hub.join(sid, actor, wanted, an_id(task_id) if task_id else None)
                if not known:
                    board = await boards.board(session, actor, wanted)
                    self._show(board)
                    moving = await batches.list_batches(session, actor, project_id=wanted, still_open=True)
                    self.batches = [head_of(batch) for batch in moving.items]
                    found = await batches.list_batches(session, actor, project_id=wanted)
                    self.sizes = {str(batch.id): len(batch.tasks) for batch in found.items if batch.ended_at}
                    if board.project.demo:
                        self.demo_model = await providers.default_model(session, actor, demo=True)
                    self._sid = sid
            except NotFound:
                self._clear()
                self.missing = True
                await hub.leave(sid)

    @rx.event
    async def reread(self) -> Any:
        """News were missed, or this person may not see it any more: read all as on a new connection."""
        self._sid = ""
        return [BoardState.open, PanelState.open, BatchState.refresh, shell.ShellState.load]

    @rx.event
    async def more(self, column: str) -> None:
        """Older cards of a finished column."""
        project_id, cursor = self.project_id, self.cursors.get(column)
        if cursor is None:
            return
        async with self._acting() as (session, actor):
            page = await boards.older(session, actor, an_id(project_id), column, cursor)
        if (project_id, cursor) == (self.project_id, self.cursors.get(column)):
            setattr(self, column, [*getattr(self, column), *map(card_of, page.items)])
            left = {status: at for status, at in self.cursors.items() if status != column}
            self.cursors = {**left, column: page.next_cursor} if page.next_cursor else left

    @rx.event
    async def create(self, project_id: str, title: str) -> None:
        """A new task at the top of Todo. What was typed stays in the field until it is made."""
        self.add_error = ""
        try:
            async with self._acting() as (session, actor):
                await tasks.create_task(session, actor, tasks.TaskInput(an_id(project_id), title))
        except ServiceError as error:
            self.add_error = str(error)
        else:
            self.added += 1

    @rx.event
    async def move(self, task_id: str, status: str, before: str, after: str) -> None:
        try:
            async with self._acting() as (session, actor):
                await tasks.move_task(
                    session,
                    actor,
                    an_id(task_id),
                    status,
                    before=an_id(before) if before else None,
                    after=an_id(after) if after else None,
                )
        except ServiceError:
            await hub.put_back(self.router.session.session_id, task_id)
            raise

    @rx.event
    async def execute(self, task_id: str) -> None:
        async with self._acting() as (session, actor):
            await execution.execute(session, actor, an_id(task_id))

    @rx.event
    async def cancel(self, task_id: str) -> None:
        async with self._acting() as (session, actor):
            await execution.cancel(session, actor, an_id(task_id))

    @rx.event
    async def remove(self, task_id: str, identifier: str) -> Any:
        """Take a task off the board; the notice can bring it back."""
        async with self._acting() as (session, actor):
            await tasks.update_task(session, actor, an_id(task_id), {"archived": True})
        said = await self.get_state(NoticeState)
        said._say(f"{identifier} is off the board.", undo=task_id)
        return rx.redirect(f"/p/{self._place()[0]}")

    @rx.event
    async def restore(self, task_id: str) -> None:
        async with self._acting() as (session, actor):
            await tasks.update_task(session, actor, an_id(task_id), {"archived": False})
        said = await self.get_state(NoticeState)
        said.text = ""

    def _clear(self) -> None:
        self.project_id, self.name, self.demo_model, self.missing = "", "", "", False
        self.todo, self.in_progress, self.done, self.cancelled = [], [], [], []
        self.counts, self.cursors, self.news, self._sid, self.add_error = {}, {}, 0, "", ""
        self.batches, self.sizes = [], {}

    def _show(self, board: BoardView) -> None:
        self.project_id, self.name = str(board.project.id), board.project.name
        for status in ("todo", "in_progress", "done", "cancelled"):
            setattr(self, status, [card_of(task) for task in board.columns.get(status, ())])
        self.counts, self.news = dict(board.counts), board.news_id
        self.cursors = {status: cursor for status, cursor in board.cursors.items() if cursor}


BOARD = BoardState.get_full_name()
LIVE = LiveState.get_full_name()


def _shown(column: str) -> rx.Var[Column]:
    columns = ui.from_store("useBoard", "olBoard", dict[str, Column], BOARD, LIVE)
    return columns[column]


def _card(card: rx.Var[Shown]) -> rx.Component:
    return rx.cond(
        card.group,
        ui.Group.create(card=card, live_name=LIVE, key=card.id),
        task_card(
            card,
            project="/p/" + BoardState.project_id,
            selected=PanelState.task_id == card.id,
            execute=BoardState.execute,
            cancel=BoardState.cancel,
            key=card.id,
        ),
    )


def _quick_add() -> rx.Component:
    return ui.QuickAdd.create(
        name="task:" + BoardState.project_id,
        error=BoardState.add_error,
        made=BoardState.added,
        on_create=lambda title: BoardState.create(BoardState.project_id, title),
    )


def _column(name: str, title: str, glyph: str, empty: str) -> rx.Component:
    shown = _shown(name)
    return rx.el.section(
        rx.el.header(
            rx.el.span(ui.icon(glyph, 14), class_name="meta", display="inline-flex"),
            rx.el.h2(title, font_size="13px"),
            rx.el.span(shown.total, class_name="num meta"),
        ),
        ui.DropColumn.create(
            _quick_add() if name == "todo" else rx.fragment(),
            rx.foreach(shown.cards, _card),
            rx.cond(shown.cards.length() == 0, rx.el.p(empty, class_name="empty")),
            ui.ShowMore.create(
                live_name=LIVE, column=name, hidden=shown.hidden, rest=shown.rest, on_more=BoardState.more
            ),
            column=name,
            class_name="cards",
        ),
        class_name="column",
        aria_label=title,
    )


def _bones() -> rx.Component:
    """The shape of the board while it is read."""
    bone = rx.el.div(
        rx.el.div(class_name="bone short"), rx.el.div(class_name="bone"), class_name="card", aria_hidden=True
    )
    return rx.el.main(
        *[
            rx.el.section(
                rx.el.header(rx.el.h2(title, font_size="13px")),
                rx.el.div(*[bone] * count, class_name="cards"),
                class_name="column",
            )
            for (_, title, _, _), count in zip(COLUMNS, (3, 2, 3, 0), strict=True)
        ],
        class_name="board bones",
        aria_busy=True,
    )


def _missing() -> rx.Component:
    return rx.el.main(
        rx.el.p("This project does not exist, or you may not see it.", margin_bottom="12px"),
        ui.link("Choose a project", href="/projects", class_name="btn"),
        class_name="board-empty",
    )


def _topbar() -> rx.Component:
    running = ui.from_store("useBoard", "olBoard", dict[str, int], BOARD, LIVE)["running"]
    return rx.el.header(
        shell.unfold_button(),
        rx.el.h1(BoardState.name),
        rx.cond(BoardState.demo_model != "", rx.el.span(BoardState.demo_model, class_name="tag-demo")),
        rx.cond(
            running > 0,
            rx.el.span(running, " running", class_name="num state running optional"),
        ),
        ui.Filter.create(live_name=LIVE),
        ui.icon_button(
            "keyboard",
            "Keyboard shortcuts",
            class_name="btn ghost icon optional",
            on_click=shell.ShellState.toggle_sheet,
        ),
        class_name="topbar",
    )


def board_page() -> rx.Component:
    return shell.shell(
        _topbar(),
        shell.banners(LIVE, BoardState.reread),
        batch_lines(BOARD, LIVE),
        rx.el.div(
            rx.match(
                rx.cond(BoardState.missing, "missing", rx.cond(BoardState.project_id, "board", "bones")),
                ("missing", _missing()),
                ("bones", _bones()),
                ui.Board.create(
                    *[_column(*column) for column in COLUMNS],
                    board_name=BOARD,
                    live_name=LIVE,
                    on_move=BoardState.move,
                    class_name="board",
                ),
            ),
            task_panel(
                BoardState.project_id,
                BoardState.execute,
                BoardState.cancel,
                BoardState.remove,
            ),
            batch_panel(BoardState.project_id),
            class_name="stage-body",
        ),
        batch_bar(BOARD, LIVE),
        notice(BoardState.restore),
        current=BoardState.project_id,
    )
