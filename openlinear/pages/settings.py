"""Settings: how tasks run, which models there are, how it looks."""

from dataclasses import dataclass
from typing import Any

import reflex as rx

from openlinear.components import shell, ui
from openlinear.components.acting import Personal
from openlinear.components.batch_bar import CONFLICTS
from openlinear.components.limits import Bound, amount, bounds_of, limit_fields
from openlinear.components.network import network_section
from openlinear.components.notice import NoticeState, notice
from openlinear.live import LiveState
from openlinear.services import limits, preferences, providers, sign_ins
from openlinear.services.errors import ServiceError
from openlinear.services.views import ProviderView

OTHER = "other"


@dataclass(frozen=True)
class Provider:
    id: str
    name: str
    detail: str


class SettingsState(Personal, rx.State):
    parallel: int = 3
    batch: int = 3
    auto_approve: bool = False
    stop_on_failure: bool = False
    build_on_previous: bool = False
    conflict: str = "skip"
    bounds: list[Bound] = []
    bounds_error: str = ""
    connected: list[Provider] = []
    choices: list[Provider] = []
    choice: str = ""
    error: str = ""
    connect_error: str = ""
    tried: dict[str, str] = {}
    """What the last test of a provider said."""
    trying: str = ""
    sign_in_url: str = ""
    sign_in_hint: str = ""
    sign_in_code: bool = True
    """Whether the provider's page gives a code to bring back."""

    @rx.event
    async def load(self) -> None:
        await self._read()

    async def _read(self) -> None:
        async with self._acting() as (session, actor):
            chosen = await preferences.get_settings(session, actor)
            known = await providers.list_providers(session, actor)
        self.bounds = bounds_of(chosen.limits, limits.in_force({}))
        self.parallel, self.batch = chosen.parallel_limit, chosen.max_batch_size
        self.auto_approve, self.stop_on_failure = chosen.auto_approve, chosen.stop_on_failure
        self.conflict, self.build_on_previous = chosen.conflict_behavior, chosen.build_on_previous
        self.connected = [
            Provider(one.provider_id, one.name, f"{_how(one)} · {one.base_url or ', '.join(one.models)}")
            for one in known
            if one.connected
        ]
        self.choices = [Provider(one.provider_id, one.name, "") for one in known if not one.connected]
        self.choice = self.choices[0].id if self.choices else OTHER

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

    @rx.event
    async def choose(self, provider: str) -> None:
        self.choice, self.connect_error, self.sign_in_url = provider, "", ""

    @rx.event
    async def connect(self, data: dict[str, Any]) -> None:
        """Keep a key. It passes through here alone and is in no var."""
        self.connect_error = ""
        other = self.choice == OTHER
        models = [one for one in str(data.get("models", "")).replace(",", " ").split() if one]
        try:
            async with self._acting() as (session, actor):
                await providers.connect(
                    session,
                    actor,
                    str(data.get("id", "")).strip() if other else self.choice,
                    str(data.get("key", "")) or None,
                    base_url=str(data.get("url", "")).strip() or None,
                    models=models,
                )
        except ServiceError as error:
            self.connect_error = str(error)
        else:
            await self._read()

    @rx.event
    async def try_out(self, provider: str) -> Any:
        """Ask the provider something tiny. The button waits meanwhile."""
        self.trying = provider
        yield
        try:
            async with self._acting() as (_, actor):
                pass
            reason = await sign_ins.try_out(actor, provider)
            said = "It works." if reason is None else reason
        except ServiceError as error:
            said = str(error)
        self.tried, self.trying = {**self.tried, provider: said}, ""

    @rx.event
    async def begin_sign_in(self) -> None:
        """Ask for the provider's page, which opens by the person's own click."""
        self.connect_error, self.sign_in_url = "", ""
        try:
            async with self._acting() as (_, actor):
                pass
            found = await sign_ins.begin(actor, self.choice)
        except ServiceError as error:
            self.connect_error = str(error)
        else:
            self.sign_in_url, self.sign_in_hint = found.url, found.instructions
            self.sign_in_code = found.method == "code"

    @rx.event
    async def end_sign_in(self, data: dict[str, Any]) -> None:
        """Bring the code back. It passes through here alone and is in no var."""
        self.connect_error = ""
        try:
            async with self._acting() as (_, actor):
                pass
            await sign_ins.end(actor, self.choice, str(data.get("code", "")))
        except ServiceError as error:
            self.connect_error = str(error)
        else:
            self.sign_in_url = ""
            await self._read()

    @rx.event
    async def disconnect(self, provider: str) -> None:
        async with self._acting() as (session, actor):
            await providers.disconnect(session, actor, provider)
        await self._read()


def _how(one: ProviderView) -> str:
    since = f" since {one.since:%Y-%m-%d}" if one.since else ""
    return f"By {one.by}{since}"


def settings_page() -> rx.Component:
    return shell.shell(
        rx.el.header(shell.unfold_button(), rx.el.h1("Settings"), class_name="topbar"),
        shell.banners(LiveState.get_full_name(), SettingsState.load),
        rx.el.main(
            *(_models(), _execution(), _limits(), network_section(), _look(), _storage()),
            class_name="content",
        ),
        notice(NoticeState.close),
        current="settings",
    )


def _models() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Models"),
        rx.cond(
            SettingsState.connected,
            rx.el.div(rx.foreach(SettingsState.connected, _provider), class_name="rows"),
            rx.el.p("No provider is connected. Connect one to run tasks on a real model.", class_name="meta"),
        ),
        rx.el.form(
            rx.el.label(
                "Provider",
                rx.el.select(
                    rx.foreach(SettingsState.choices, lambda one: rx.el.option(one.name, value=one.id)),
                    rx.el.option("Another OpenAI-compatible endpoint", value=OTHER),
                    value=SettingsState.choice,
                    on_change=SettingsState.choose,
                    class_name="select",
                ),
                class_name="field",
            ),
            rx.cond(
                SettingsState.choice == OTHER,
                rx.fragment(
                    rx.el.div(
                        _input("Id", name="id", placeholder="ollama", required=True),
                        _input(
                            "Base URL", name="url", placeholder="https://models.example.com/v1", required=True
                        ),
                        class_name="pair",
                    ),
                    _input(
                        "Models, separated by commas", name="models", placeholder="qwen3:32b", required=True
                    ),
                ),
            ),
            _input("API key", name="key", type="password", auto_complete="off"),
            rx.el.p("Kept encrypted, never shown again.", class_name="meta"),
            ui.error_line(SettingsState.connect_error),
            rx.el.button("Connect", class_name="btn primary", type="submit"),
            on_submit=SettingsState.connect,
            reset_on_submit=True,
            class_name="form",
        ),
        rx.cond(SettingsState.choice != OTHER, _sign_in()),
    )


def _sign_in() -> rx.Component:
    """In place of a key: the provider's own page, and the code that it gives."""
    return rx.cond(
        SettingsState.sign_in_url == "",
        ui.button(
            "Sign in with an account instead",
            on_click=SettingsState.begin_sign_in,
        ),
        rx.el.form(
            rx.el.p(SettingsState.sign_in_hint, class_name="meta"),
            rx.el.a(
                "Open the provider's page",
                href=SettingsState.sign_in_url,
                target="_blank",
                rel="noopener noreferrer",
                class_name="btn",
            ),
            rx.cond(
                SettingsState.sign_in_code, _input("Code", name="code", auto_complete="off", required=True)
            ),
            rx.el.button("Finish signing in", class_name="btn primary", type="submit"),
            on_submit=SettingsState.end_sign_in,
            reset_on_submit=True,
            class_name="form",
        ),
    )


def _provider(one: rx.Var[Provider]) -> rx.Component:
    return rx.el.div(
        rx.el.div(
            rx.el.div(one.name, class_name="name"),
            rx.el.div(one.detail, class_name="meta", title=one.detail),
            rx.el.div(SettingsState.tried[one.id], class_name="meta", role="status"),
            class_name="grow",
        ),
        ui.button(
            rx.cond(SettingsState.trying == one.id, "Testing", "Test"),
            disabled=SettingsState.trying != "",
            on_click=SettingsState.try_out(one.id),
        ),
        ui.button("Disconnect", on_click=SettingsState.disconnect(one.id)),
        class_name="row",
        key=one.id,
    )


def _input(label: str, **props: Any) -> rx.Component:
    return rx.el.label(label, rx.el.input(class_name="input", **props), class_name="field")


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
