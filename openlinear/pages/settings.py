"""Settings: how tasks run, what they reach, how it looks."""

from typing import Any

import reflex as rx

from openlinear.components import shell, ui
from openlinear.components.acting import Personal
from openlinear.components.batch_bar import CONFLICTS
from openlinear.components.limits import Bound, amount, bounds_of, limit_fields
from openlinear.components.network import network_section
from openlinear.components.notice import NoticeState, notice
from openlinear.live import LiveState
from openlinear.pages.providers import ProvidersState, providers_section
from openlinear.services import limits, preferences
from openlinear.services.errors import ServiceError


class SettingsState(Personal, rx.State):
    parallel: int = 3
    batch: int = 3
    auto_approve: bool = False
    stop_on_failure: bool = False
    build_on_previous: bool = False
    conflict: str = "skip"
    bounds: list[Bound] = []
    bounds_error: str = ""
    error: str = ""

    @rx.event
    async def load(self) -> None:
        await self._read()

    async def _read(self) -> None:
        async with self._acting() as (session, actor):
            chosen = await preferences.get_settings(session, actor)
        self.bounds = bounds_of(chosen.limits, limits.in_force({}))
        self.parallel, self.batch = chosen.parallel_limit, chosen.max_batch_size
        self.auto_approve, self.stop_on_failure = chosen.auto_approve, chosen.stop_on_failure
        self.conflict, self.build_on_previous = chosen.conflict_behavior, chosen.build_on_previous

    @rx.event
    async def set_number(self, name: str, text: str) -> None:
        await self._save({name: int(text) if text.isdigit() else 0})

    @rx.event
    async def set_flag(self, name: str, on: bool) -> None:
        await self._save({name: on})

    @rx.event
    async def set_conflict(self, behavior: str) -> None:
        await self._save({"conflict_behavior": behavior})

    @rx.event
    async def set_limit(self, name: str, text: str) -> None:
        """A field of the limits was left; most often nothing was changed in it."""
        self.bounds_error = ""
        if any((one.name, one.value) == (name, text) for one in self.bounds):
            return
        try:
            async with self._acting() as (session, actor):
                await preferences.update_settings(session, actor, {"limits": {name: amount(name, text)}})
        except ServiceError as error:
            self.bounds_error = str(error)
        else:
            await self._read()

    async def _save(self, patch: dict[str, Any]) -> None:
        """What the browser names is checked against the settings there are."""
        self.error = ""
        allowed = preferences.SettingsPatch.__annotations__.keys() - {"limits", "network", "network_hosts"}
        wanted: Any = {name: value for name, value in patch.items() if name in allowed}
        try:
            async with self._acting() as (session, actor):
                await preferences.update_settings(session, actor, wanted)
        except ServiceError as error:
            self.error = str(error)
        await self._read()


def settings_page() -> rx.Component:
    return shell.shell(
        rx.el.header(shell.unfold_button(), rx.el.h1("Settings"), class_name="topbar"),
        shell.banners(LiveState.get_full_name(), [SettingsState.load, ProvidersState.load]),
        rx.el.main(
            *(providers_section(), _execution(), _limits(), network_section(), _look(), _storage()),
            class_name="content",
        ),
        notice(NoticeState.close),
        current="settings",
    )


def _setting(label: str, control: rx.Component) -> rx.Component:
    return rx.el.label(rx.el.span(label), control, class_name="setting")


def _number(name: str, value: rx.Var[int]) -> rx.Component:
    return rx.el.input(
        key=name + value.to(str),
        default_value=value.to(str),
        type="number",
        min=1,
        max=50,
        class_name="input num",
        on_blur=lambda text: SettingsState.set_number(name, text),
    )


def _flag(name: str, value: rx.Var[bool]) -> rx.Component:
    return rx.el.input(type="checkbox", checked=value, on_change=lambda on: SettingsState.set_flag(name, on))


def _execution() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Execution"),
        _setting("Tasks that run at once", _number("parallel_limit", SettingsState.parallel)),
        _setting("Tasks in one batch", _number("max_batch_size", SettingsState.batch)),
        _setting(
            "Start a queue's next task without asking", _flag("auto_approve", SettingsState.auto_approve)
        ),
        _setting(
            "Begin a queue's next task with what the one before made",
            _flag("build_on_previous", SettingsState.build_on_previous),
        ),
        _setting("Stop a batch when a task fails", _flag("stop_on_failure", SettingsState.stop_on_failure)),
        _setting(
            "When a merge conflicts",
            rx.el.select(
                *[rx.el.option(title, value=name) for name, title in CONFLICTS],
                value=SettingsState.conflict,
                on_change=SettingsState.set_conflict,
                class_name="select",
            ),
        ),
        ui.error_line(SettingsState.error),
    )


def _limits() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Limits of a run"),
        rx.el.p(
            "They hold for every task you execute, and in a team's projects the team's hold as well. A run "
            "that reaches one is stopped, and what it did so far goes to its branch.",
            class_name="meta",
        ),
        limit_fields(SettingsState.bounds, SettingsState.set_limit),
        ui.error_line(SettingsState.bounds_error),
    )


def _look() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Look"),
        rx.el.div(rx.el.span("Theme"), ui.ThemeSwitch.create(), class_name="setting"),
    )


def _storage() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Storage and webhooks"),
        rx.el.div(
            rx.el.span("Unpushed work, and what takes space"),
            ui.link("Open", href="/settings/storage", class_name="btn"),
            class_name="setting",
        ),
        rx.el.div(
            rx.el.span("Webhooks of your own projects"),
            ui.link("Open", href="/settings/webhooks", class_name="btn", aria_label="Open webhooks"),
            class_name="setting",
        ),
    )
