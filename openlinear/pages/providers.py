"""Model providers, on the settings page: connected by a key or an account, tried, and let go."""

from dataclasses import dataclass
from typing import Any

import reflex as rx

from openlinear.components import ui
from openlinear.components.acting import Personal
from openlinear.services import providers, sign_ins
from openlinear.services.errors import ServiceError
from openlinear.services.views import ProviderView

OTHER = "other"


@dataclass(frozen=True)
class Provider:
    id: str
    name: str
    detail: str


class ProvidersState(Personal, rx.State):
    connected: list[Provider] = []
    choices: list[Provider] = []
    choice: str = ""
    connect_error: str = ""
    tried: dict[str, str] = {}
    """What the last test of a provider said."""
    trying: str = ""
    sign_in_url: str = ""
    sign_in_hint: str = ""
    sign_in_code: bool = True
    """Whether the provider's page gives a code to bring back."""
    signing_in: bool = False

    @rx.event
    async def load(self) -> None:
        await self._read()

    async def _read(self) -> None:
        async with self._acting() as (session, actor):
            known = await providers.list_providers(session, actor)
        self.connected = [
            Provider(one.provider_id, one.name, f"{_how(one)} · {one.base_url or ', '.join(one.models)}")
            for one in known
            if one.connected
        ]
        self.choices = [Provider(one.provider_id, one.name, "") for one in known if not one.connected]
        if self.choice not in {OTHER, *(one.id for one in self.choices)}:
            self.choice = self.choices[0].id if self.choices else OTHER

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
            async with self._acting() as (_, actor):
                pass
            await providers.save(
                actor,
                str(data.get("id", "")).strip() if other else self.choice,
                str(data.get("key", "")) or None,
                base_url=str(data.get("url", "")).strip() or None,
                models=models or None,
            )
        except ServiceError as error:
            self.connect_error = str(error)
        else:
            self.choice = ""
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
    async def begin_sign_in(self) -> Any:
        """Ask for the provider's page, which opens by the person's own click. A sandbox may start first."""
        self.connect_error, self.sign_in_url, self.signing_in = "", "", True
        yield
        try:
            async with self._acting() as (_, actor):
                pass
            found = await sign_ins.begin(actor, self.choice)
        except ServiceError as error:
            self.connect_error = str(error)
        else:
            self.sign_in_url, self.sign_in_hint = found.url, found.instructions
            self.sign_in_code = found.method == "code"
        finally:
            self.signing_in = False

    @rx.event
    async def end_sign_in(self, data: dict[str, Any]) -> Any:
        """Bring the code back. It passes through here alone and is in no var. Whatever comes of it, this
        sign-in is over: another one begins anew.
        """
        self.connect_error, self.signing_in = "", True
        yield
        try:
            async with self._acting() as (_, actor):
                pass
            await sign_ins.end(actor, self.choice, str(data.get("code", "")))
        except ServiceError as error:
            self.connect_error = str(error)
        else:
            await self._read()
        finally:
            self.sign_in_url, self.signing_in = "", False

    @rx.event
    async def disconnect(self, provider: str) -> None:
        async with self._acting() as (session, actor):
            await providers.disconnect(session, actor, provider)
        await self._read()


def _how(one: ProviderView) -> str:
    since = f" since {one.since:%Y-%m-%d}" if one.since else ""
    return f"By {one.by}{since}"


def providers_section() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Models"),
        rx.cond(
            ProvidersState.connected,
            rx.el.div(rx.foreach(ProvidersState.connected, _provider), class_name="rows"),
            rx.el.p("No provider is connected. Connect one to run tasks on a real model.", class_name="meta"),
        ),
        rx.el.form(
            rx.el.label(
                "Provider",
                rx.el.select(
                    rx.foreach(ProvidersState.choices, lambda one: rx.el.option(one.name, value=one.id)),
                    rx.el.option("Another OpenAI-compatible endpoint", value=OTHER),
                    value=ProvidersState.choice,
                    on_change=ProvidersState.choose,
                    class_name="select",
                ),
                class_name="field",
            ),
            rx.cond(
                ProvidersState.choice == OTHER,
                rx.fragment(
                    rx.el.div(
                        _input("Id", name="id", placeholder="ollama", required=True),
                        _input(
                            "Base URL", name="url", placeholder="https://models.example.com/v1", required=True
                        ),
                        class_name="pair",
                    ),
                    _input("Models, separated by commas", name="models", placeholder="All that it names"),
                ),
            ),
            _input("API key", name="key", type="password", auto_complete="off"),
            rx.el.p("Kept encrypted, never shown again.", class_name="meta"),
            ui.error_line(ProvidersState.connect_error),
            rx.el.button("Connect", class_name="btn primary", type="submit"),
            on_submit=ProvidersState.connect,
            reset_on_submit=True,
            class_name="form",
        ),
        rx.cond(ProvidersState.choice != OTHER, _sign_in()),
    )


def _sign_in() -> rx.Component:
    """In place of a key: the provider's own page, and the code that it gives."""
    return rx.cond(
        ProvidersState.sign_in_url == "",
        ui.button(
            rx.cond(ProvidersState.signing_in, "Asking the provider", "Sign in with an account instead"),
            disabled=ProvidersState.signing_in,
            justify_self="start",
            on_click=ProvidersState.begin_sign_in,
        ),
        rx.el.form(
            rx.el.p(ProvidersState.sign_in_hint, class_name="meta"),
            rx.el.a(
                "Open the provider's page",
                href=ProvidersState.sign_in_url,
                target="_blank",
                rel="noopener noreferrer",
                class_name="btn",
            ),
            rx.cond(
                ProvidersState.sign_in_code, _input("Code", name="code", auto_complete="off", required=True)
            ),
            rx.el.button(
                rx.cond(ProvidersState.signing_in, "Signing in", "Finish signing in"),
                disabled=ProvidersState.signing_in,
                class_name="btn primary",
                type="submit",
            ),
            on_submit=ProvidersState.end_sign_in,
            reset_on_submit=True,
            class_name="form",
        ),
    )


def _provider(one: rx.Var[Provider]) -> rx.Component:
    return rx.el.div(
        rx.el.div(
            rx.el.div(one.name, class_name="name"),
            rx.el.div(one.detail, class_name="meta", title=one.detail),
            rx.el.div(ProvidersState.tried[one.id], class_name="meta", role="status"),
            class_name="grow",
        ),
        ui.button(
            rx.cond(ProvidersState.trying == one.id, "Testing", "Test"),
            disabled=ProvidersState.trying != "",
            on_click=ProvidersState.try_out(one.id),
        ),
        ui.button("Disconnect", on_click=ProvidersState.disconnect(one.id)),
        class_name="row",
        key=one.id,
    )


def _input(label: str, **props: Any) -> rx.Component:
    return rx.el.label(label, rx.el.input(class_name="input", **props), class_name="field")
