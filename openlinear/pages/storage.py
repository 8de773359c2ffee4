"""Storage: work that was not pushed, and, for the first account, what takes space."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby

import reflex as rx

from openlinear.components import shell, ui
from openlinear.components.acting import Personal, an_id
from openlinear.components.cards import milliseconds
from openlinear.components.kept import downloads
from openlinear.components.notice import NoticeState, notice
from openlinear.live import LiveState
from openlinear.services import storage
from openlinear.services.storage import size

KINDS = {
    "repository": "Repositories",
    "sandbox": "Sandboxes and their workspaces",
    "kept": "Unpushed work",
    "image": "The image of sandboxes",
    "database": "Database",
    "logs": "Logs",
}
SHOWN = 8
"""How many of a kind are named one by one."""


@dataclass(frozen=True)
class Work:
    run: str
    title: str
    href: str
    detail: str
    left: str
    """What was not kept, in words; empty for nothing."""
    bundle: bool
    files: bool


@dataclass(frozen=True)
class Line:
    name: str
    size: str


@dataclass(frozen=True)
class Group:
    name: str
    size: str
    percent: int
    lines: list[Line] = field(default_factory=list)


@dataclass(frozen=True)
class Seen:
    what: str
    subject: str
    text: str
    mended: bool
    at: int


class StorageState(Personal, rx.State):
    works: list[Work] = []
    rule: str = ""
    whole: bool = False
    """Whether this person sees what takes space for all."""
    summary: str = ""
    measured: int = 0
    groups: list[Group] = []
    seen: list[Seen] = []
    busy: str = ""
    loaded: bool = False

    @rx.event
    async def load(self) -> None:
        await self._read()

    async def _read(self) -> None:
        async with self._acting() as (session, actor):
            self.works = [_work(one) for one in await storage.kept(session, actor)]
            self.whole = await storage.sees_all(session, actor)
            disk = await storage.disk(session, actor) if self.whole else None
        self.rule = _rule(storage.retention())
        if disk is not None:
            total = sum(use.bytes for use in disk.uses)
            self.summary = f"{size(total)} in all; {size(disk.free)} of {size(disk.total)} are free."
            self.measured = milliseconds(disk.made_at)
            self.groups = _groups(disk.uses, total)
            self.seen = [
                Seen(
                    f"{one.kind} {one.subject[:8]}",
                    one.subject,
                    one.detail,
                    one.mended,
                    milliseconds(one.found_at),
                )
                for one in disk.findings[:50]
            ]
        self.loaded = True

    @rx.event
    async def restore(self, run_id: str) -> rx.event.EventSpec:
        async with self._acting() as (session, actor):
            await storage.restore(session, actor, an_id(run_id))
        href = next((one.href for one in self.works if one.run == run_id), "/projects")
        return rx.redirect(href)

    @rx.event(background=True)
    async def measure(self) -> None:
        await self._have("measure", storage.measure)

    @rx.event(background=True)
    async def clean(self) -> None:
        await self._have("clean", storage.clean)

    async def _have(self, what: str, call: Callable[..., object]) -> None:
        """Something that takes a worker's time, without holding the page up."""
        async with self:
            if self.busy:
                return
            self.busy = what
            async with self._acting() as (_, actor):
                pass
        try:
            await call(actor)  # type: ignore[misc]
        finally:
            async with self:
                self.busy = ""
                await self._read()


def _work(one: storage.Kept) -> Work:
    parts = [f"kept until {one.expires_at.day} {one.expires_at:%B}"]
    if one.bundle_bytes:
        parts.append(f"commits {size(one.bundle_bytes)}")
    if one.files_bytes:
        parts.append(f"ignored files {size(one.files_bytes)}")
    if one.restored_at:
        parts.append("restored")
    return Work(
        run=str(one.run_id),
        title=one.title,
        href=f"/p/{one.project_id}/t/{one.task_id}",
        detail=" · ".join(parts),
        left=storage.left_out(one),
        bundle=one.bundle_bytes > 0,
        files=one.files_bytes > 0,
    )


def _rule(rule: storage.Retention) -> str:
    return (
        f"Work that a run could not push is kept for {rule.days:g} days. Where all of it is over "
        f"{rule.max_gb:g} GB, the oldest goes first, though not before {rule.min_days:g} days."
    )


def _groups(uses: tuple[storage.Use, ...], total: int) -> list[Group]:
    """By kind, the largest kind first."""
    order = sorted(uses, key=lambda use: use.kind)
    kinds = [(kind, list(some)) for kind, some in groupby(order, key=lambda use: use.kind)]
    kinds.sort(key=lambda one: -sum(use.bytes for use in one[1]))
    found = []
    for kind, some in kinds:
        taken = sum(use.bytes for use in some)
        named = [use for use in sorted(some, key=lambda use: -use.bytes) if use.name][:SHOWN]
        lines = [Line(use.name, size(use.bytes)) for use in named]
        if len(some) > SHOWN:
            rest = taken - sum(use.bytes for use in named)
            lines.append(Line(f"{len(some) - SHOWN} more", size(rest)))
        found.append(Group(KINDS.get(kind, kind), size(taken), round(100 * taken / max(total, 1)), lines))
    return found


# -- the view -----------------------------------------------------------------------------------------


def storage_page() -> rx.Component:
    return shell.shell(
        rx.el.header(
            shell.unfold_button(),
            rx.el.h1(ui.link("Settings", href="/settings", class_name="crumb"), "Storage"),
            class_name="topbar",
        ),
        shell.banners(LiveState.get_full_name(), StorageState.load),
        rx.el.main(
            _unpushed(),
            rx.cond(StorageState.whole, rx.fragment(_disk(), _findings())),
            class_name="content",
        ),
        notice(NoticeState.close),
        current="settings",
    )


def _unpushed() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Unpushed work"),
        rx.cond(
            StorageState.works,
            rx.el.div(rx.foreach(StorageState.works, _kept), class_name="rows"),
            rx.cond(
                StorageState.loaded,
                rx.el.p("Everything that your runs made is on its remote.", class_name="meta"),
            ),
        ),
        rx.el.p(StorageState.rule, class_name="meta"),
    )


def _kept(work: rx.Var[Work]) -> rx.Component:
    return rx.el.div(
        rx.el.div(
            ui.link(work.title, href=work.href, class_name="name"),
            rx.el.div(work.detail, class_name="meta num"),
            rx.cond(work.left != "", rx.el.div(work.left, class_name="meta", title=work.left)),
            class_name="grow",
        ),
        *downloads(work.run, work.bundle, work.files),
        ui.button(
            "Restore",
            title="Run the task again, from this work",
            on_click=StorageState.restore(work.run),
        ),
        class_name="row kept",
        key=work.run,
    )


def _disk() -> rx.Component:
    return rx.el.section(
        rx.el.div(
            rx.el.h2("Disk use"),
            rx.el.span(
                _ask("measure", "Measure", "Measuring", StorageState.measure),
                _ask("clean", "Clean up now", "Cleaning up", StorageState.clean),
                class_name="acts",
            ),
            class_name="offer",
        ),
        rx.cond(
            StorageState.measured > 0,
            rx.fragment(
                rx.el.p(
                    StorageState.summary,
                    " Measured ",
                    ui.Ago.create(at=StorageState.measured),
                    class_name="meta num",
                ),
                rx.el.div(rx.foreach(StorageState.groups, _group), class_name="rows"),
            ),
            rx.cond(StorageState.loaded, rx.el.p("Nothing has been measured yet.", class_name="meta")),
        ),
    )


def _ask(name: str, text: str, while_busy: str, on_click: object) -> rx.Component:
    return ui.button(
        rx.cond(StorageState.busy == name, while_busy, text),
        disabled=StorageState.busy != "",
        on_click=on_click,
    )


def _group(group: rx.Var[Group]) -> rx.Component:
    return rx.el.details(
        rx.el.summary(
            rx.el.span(group.name, class_name="name grow"),
            rx.el.span(rx.el.i(width=group.percent.to(str) + "%"), class_name="share"),
            rx.el.span(group.size, class_name="num size"),
            class_name="row",
        ),
        rx.foreach(
            group.lines,
            lambda line: rx.el.div(
                rx.el.span(line.name, class_name="grow"),
                rx.el.span(line.size, class_name="num size"),
                class_name="row part",
            ),
        ),
        key=group.name,
    )


def _findings() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Housekeeping"),
        rx.cond(
            StorageState.seen,
            rx.el.div(rx.foreach(StorageState.seen, _seen), class_name="rows"),
            rx.cond(StorageState.loaded, rx.el.p("Nothing was found left behind.", class_name="meta")),
        ),
        rx.el.p(
            "At each start and every hour, the engine compares its records with the disk and the "
            "sandboxes. What is safe to mend is mended; the rest is named here.",
            class_name="meta",
        ),
    )


def _seen(one: rx.Var[Seen]) -> rx.Component:
    return rx.el.div(
        rx.cond(
            one.mended,
            rx.el.span(ui.icon("check", 14), "Mended", class_name="state done"),
            rx.el.span(ui.icon("triangle-alert", 14), "Look at it", class_name="state failed"),
        ),
        rx.el.span(
            one.text,
            " ",
            rx.el.span(one.what, class_name="mono meta"),
            title=one.subject,
            class_name="grow wrap",
        ),
        ui.Ago.create(at=one.at, class_name="meta"),
        class_name="row",
    )
